"""RBF against scikit-learn, closed forms and properties."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.prototype.rbf import RBF

ID = "dl_techniques>RBF"


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(units, shape, centers=None, **config):
    layer = RBF(units, **config)
    layer.build(shape)
    layer.centers.assign(draw(units, shape[-1], seed=1) if centers is None else centers)
    return layer


def outputs(layer, x):
    return ops.convert_to_numpy(layer(x))


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("gamma", [0.3, 1.0, 40.0])
def test_equals_scikit_learn(offset, gamma, verify):
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    import sklearn

    x = draw(7, 3) + np.float32(offset)
    centers = draw(5, 3, seed=1) + np.float32(offset)
    y = outputs(built(5, x.shape, centers, gamma_init=gamma), x)
    expected = pairwise.rbf_kernel(x.astype("float64"), centers.astype("float64"), gamma)
    oracle = f"sklearn rbf_kernel {sklearn.__version__}"
    verify(ID, oracle, y, expected, tolerance=2e-5)


def test_gradients_equal_the_closed_form(verify):
    x, g = draw(6, 3), draw(6, 4, seed=2)
    layer = built(4, x.shape, gamma_init=0.7)
    result = value_and_gradients(
        lambda x, g: ops.sum(layer(x) * g), layer.trainable_variables, [x, g]
    )
    steps = x[:, None].astype("float64") - ops.convert_to_numpy(layer.centers)
    squares = (steps**2).sum(-1)
    phi = np.exp(-0.7 * squares) * g
    by_x = -2 * 0.7 * (phi[..., None] * steps)
    slope = 1 - np.exp(-0.7)  # of softplus, at the number whose softplus is 0.7
    oracle = "closed form in float64"
    verify(ID, oracle, result.inputs[0], by_x.sum(1), what="gradient of inputs")
    verify(ID, oracle, result.variables[0], -by_x.sum(0), what="gradient of centers")
    verify(
        ID, oracle, result.variables[1], -(phi * squares).sum(0) * slope, what="gradient of gamma"
    )


def test_a_unit_is_one_at_its_centre():
    x = draw(4, 3)
    np.testing.assert_allclose(np.diag(outputs(built(4, x.shape, x), x)), 1, atol=1e-5)


@pytest.mark.parametrize("gamma", [1e-3, 1.0, 500.0])
def test_gamma_starts_as_given(gamma):
    layer = built(2, (1, 1), np.zeros((2, 1)), gamma_init=gamma)
    y = outputs(layer, np.full((1, 1), gamma**-0.5, "float32"))
    np.testing.assert_allclose(y, np.exp(-1), rtol=1e-4)


def test_repulsion_is_the_mean_over_pairs():
    centers = np.array([[0.0, 0.0], [0.3, 0.4], [3.0, 0.0]], "float32")
    layer = built(3, (1, 2), centers, repulsion_strength=2.0, repulsion_margin=1.0)
    layer(np.zeros((1, 2), "float32"))
    # One pair of three is closer than the margin, by 0.5.
    np.testing.assert_allclose(ops.convert_to_numpy(layer.losses[0]), 2 * 0.25 / 3, rtol=1e-4)


def test_repulsion_of_equal_centres_keeps_them_finite():
    layer = built(3, (1, 2), np.zeros((3, 2)), repulsion_strength=1.0)
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile("sgd", "mse")
    model.fit(draw(8, 2), draw(8, 3), epochs=1, verbose=0)
    assert np.isfinite(ops.convert_to_numpy(layer.centers)).all()


def test_fits_a_function():
    keras.utils.set_random_seed(0)
    x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    centers = np.linspace(-1, 1, 12, dtype="float32")[:, None]
    layer = RBF(12, gamma_init=20.0, initializer=lambda shape, dtype=None: centers)
    model = keras.Sequential([keras.Input((1,)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    loss = model.fit(x, np.sin(4 * x), epochs=100, batch_size=16, verbose=0).history["loss"]
    assert loss[-1] < 5e-3  # of a variance of 0.57
