"""OrthoBlock by its formula in float64 and its stated properties."""

from __future__ import annotations

from math import erf

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.initializers import OrthonormalInitializer
from dl_techniques.layers import OrthoBlock

ID = "dl_techniques>OrthoBlock"


def built(units, features, **settings):
    layer = OrthoBlock(units, **settings)
    layer.build((None, features))
    return layer, ops.convert_to_numpy(layer.kernel).astype("float64")


def penalty(layer):
    return float(ops.convert_to_numpy(sum(layer.losses)))


@pytest.mark.parametrize(("units", "features"), [(3, 7), (5, 5), (7, 3)])
def test_the_kernel_starts_orthonormal_on_its_shorter_side_and_costs_nothing(units, features):
    layer, w = built(units, features)
    gram = w.T @ w if units <= features else w @ w.T
    np.testing.assert_allclose(gram, np.eye(min(units, features)), atol=1e-5)
    assert penalty(layer) < 1e-9


def test_the_added_loss_equals_the_formula():
    layer, _ = built(4, 6, ortho_reg_factor=0.3)
    w = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    layer.kernel.assign(w)
    expected = 0.3 * np.sum((w.T.astype("float64") @ w - np.eye(4)) ** 2)
    assert penalty(layer) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("use_bias", [False, True])
def test_equals_the_formula(use_bias, verify):
    rng = np.random.default_rng(0)
    layer, w = built(5, 7, activation="gelu", use_bias=use_bias)
    s = rng.uniform(size=5).astype("float32")
    layer.scale.assign(s)
    b = rng.normal(size=5).astype("float32") if use_bias else np.zeros(5)
    if use_bias:
        layer.bias.assign(b)
    x = rng.normal(size=(3, 2, 7)).astype("float32")
    z = x.astype("float64") @ w
    expected = s * (z - z.mean(axis=-1, keepdims=True)) + b
    expected = expected * 0.5 * (1 + np.vectorize(erf)(expected / np.sqrt(2)))
    verify(ID, "closed form in float64", layer(x), expected)


def test_square_kernel_keeps_the_length_but_for_the_mean():
    layer, w = built(6, 6, scale_initial_value=1.0)
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    c = ops.convert_to_numpy(layer(x))
    mean = (x.astype("float64") @ w).mean(axis=-1)
    np.testing.assert_allclose((c**2).sum(-1), (x**2).sum(-1) - 6 * mean**2, rtol=1e-4)
    np.testing.assert_allclose(c.mean(axis=-1), 0, atol=1e-6)


def test_a_change_that_moves_all_units_alike_is_not_seen():
    layer, w = built(5, 5)
    u = np.linalg.solve(w.T, np.ones(5)).astype("float32")
    x = np.random.default_rng(0).normal(size=(2, 5)).astype("float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x + 3 * u)), ops.convert_to_numpy(layer(x)), atol=1e-5
    )


def test_it_folds_into_one_dense_layer():
    layer, w = built(4, 6)
    s = ops.convert_to_numpy(layer.scale)
    folded = (w - w.mean(axis=1, keepdims=True)) * s
    x = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), x @ folded, atol=1e-6)


def test_gates_stay_within_their_range_in_training():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, OrthoBlock(4)(inputs))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    rng = np.random.default_rng(0)
    model.fit(
        rng.normal(size=(16, 6)), 9 * rng.normal(size=(16, 4)), epochs=3, batch_size=8, verbose=0
    )
    s = ops.convert_to_numpy(model.layers[-1].scale)
    assert s.min() >= 0
    assert s.max() <= 1
    assert (s != 0.5).any()


def test_a_seeded_initializer_is_used_in_both_orientations():
    initializer = OrthonormalInitializer(seed=5)
    _, tall = built(3, 6, kernel_initializer=initializer)
    _, wide = built(6, 3, kernel_initializer=initializer)
    np.testing.assert_array_equal(tall, wide.T)


def test_it_feeds_global_response_normalization_in_a_saved_model(tmp_path):
    from dl_techniques.core import load_model, save_model
    from dl_techniques.layers.norms import GlobalResponseNorm

    inputs = keras.Input((8,))
    x = OrthoBlock(units=12, activation="gelu")(inputs)
    x = GlobalResponseNorm()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    model.compile("adam", "categorical_crossentropy")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 8)).astype("float32")
    model.fit(x, np.eye(3)[rng.integers(0, 3, 16)], verbose=0)
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
