"""QuantileHead against dense layers in NumPy, and quantiles of data."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers import QuantileHead


def array(tensor):
    return ops.convert_to_numpy(tensor)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def dense(x, layer):
    return x.astype("float64") @ array(layer.kernel) + array(layer.bias)


@pytest.mark.parametrize("shape", [(4, 5), (4, 3, 5)])
@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("hidden", [None, 7])
@pytest.mark.parametrize("monotone", [False, True])
def test_equals_dense_layers_in_numpy(shape, flatten, hidden, monotone, verify):
    head = QuantileHead(
        4,
        3,
        enforce_monotonicity=monotone,
        hidden_dim=hidden,
        flatten_input=flatten,
        bias_initializer="ones",
    )
    x = draw(*shape)
    actual = array(head(x))
    a = x.reshape(4, -1) if flatten else x
    a = a if hidden is None else np.maximum(dense(a, head.hidden), 0)
    a = dense(a, head.projection)
    a = a.reshape(*a.shape[:-1], 3, 4)
    if monotone:
        a = np.cumsum(np.concatenate([a[..., :1], np.log1p(np.exp(a[..., 1:]))], -1), -1)
    assert actual.shape == head.compute_output_shape(x.shape)
    verify("dl_techniques>QuantileHead", "dense layers in float64", actual, a)


def test_levels():
    assert QuantileHead().levels == pytest.approx(np.arange(1, 10) / 10)
    assert QuantileHead(3).levels == (0.25, 0.5, 0.75)
    assert QuantileHead(2, quantiles=(0.05, 0.95)).levels == (0.05, 0.95)


def test_monotone_quantiles_never_cross():
    head = QuantileHead(9, 4, enforce_monotonicity=True, kernel_initializer="random_normal")
    quantiles = array(head(100 * draw(16, 8)))
    assert (np.diff(quantiles, axis=-1) >= 0).all()


@pytest.mark.parametrize("monotone", [False, True])
def test_the_pinball_loss_finds_the_quantiles_of_the_data(monotone):
    """Oracle: `np.quantile` of what was to be predicted from a constant input."""
    keras.utils.set_random_seed(0)
    y = np.random.default_rng(1).exponential(size=(400, 1)).astype("float32")
    head = QuantileHead(3, 1, enforce_monotonicity=monotone)

    def pinball(target, q):
        levels = ops.convert_to_tensor(head.levels, "float32")
        error = ops.expand_dims(target, -1) - q
        return ops.mean(ops.maximum(levels * error, (levels - 1) * error))

    model = keras.Sequential([keras.Input((1,)), head])
    rates = keras.optimizers.schedules.CosineDecay(0.1, 200)
    model.compile(keras.optimizers.Adam(rates), pinball)
    model.fit(np.ones((400, 1)), y, batch_size=400, epochs=200, verbose=0)
    found = array(model(np.ones((1, 1), "float32")))[0, 0]
    np.testing.assert_allclose(found, np.quantile(y, head.levels), atol=0.03)
