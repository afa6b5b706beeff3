"""Sampling by moments, limits and the gradient of the reparameterization."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers import Sampling


def test_moments_are_those_of_the_normal_distribution():
    """Oracle: mean and variance within four standard errors of 20,000 samples."""
    mu, log_var = np.array([1.0, -2.0], "float32"), np.array([0.5, -3.0], "float32")
    n = 20_000
    inputs = [np.tile(a, (n, 1)) for a in (mu, log_var)]
    z = ops.convert_to_numpy(Sampling(seed=1)(inputs)).astype("float64")
    deviation = np.exp(log_var / 2)
    assert (np.abs(z.mean(axis=0) - mu) < 4 * deviation / np.sqrt(n)).all()
    assert (np.abs(z.var(axis=0) / deviation**2 - 1) < 4 * np.sqrt(2 / n)).all()
    assert abs(np.corrcoef(z.T)[0, 1]) < 4 / np.sqrt(n)


def test_without_variance_the_sample_is_the_mean():
    mu = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    z = Sampling()([mu, np.full((3, 4), -np.inf, "float32")])
    np.testing.assert_array_equal(ops.convert_to_numpy(z), mu)


def test_gradients_are_those_of_the_reparameterization(verify):
    """Oracle: dz/dmu = 1 and dz/dlog_var = eps exp(log_var / 2) / 2, eps from the output."""
    rng = np.random.default_rng(0)
    mu, log_var, g = (rng.normal(size=(3, 4)).astype("float32") for _ in range(3))
    keras.utils.set_random_seed(3)
    layer = Sampling(seed=2)
    z = ops.convert_to_numpy(layer([mu, log_var]))
    layer = Sampling(seed=2)
    result = value_and_gradients(lambda m, v, g: ops.sum(layer([m, v]) * g), [], [mu, log_var, g])
    name, oracle = "dl_techniques>Sampling", "gradient of the reparameterization in float64"
    for ours, slope in zip(result.inputs, (g, g * (z - mu) / 2), strict=False):
        verify(name, oracle, ours, slope, what="gradient of inputs")


def test_at_inference_the_mean_may_be_asked_for():
    mu = np.ones((2, 3), "float32")
    layer = Sampling(sample_at_inference=False, seed=0)
    for training in (False, None):
        z = layer([mu, mu], training=training)
        np.testing.assert_array_equal(ops.convert_to_numpy(z), mu)
    assert (ops.convert_to_numpy(layer([mu, mu], training=True)) != mu).all()


def test_calls_differ_and_seeds_repeat():
    x = [np.zeros((2, 3), "float32")] * 2
    first, second = Sampling(seed=4), Sampling(seed=4)
    ours = [ops.convert_to_numpy(first(x)) for _ in range(2)]
    theirs = [ops.convert_to_numpy(second(x)) for _ in range(2)]
    assert (ours[0] != ours[1]).all()
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="no float16 kernels for the CPU")
def test_large_variances_stay_finite_in_float16():
    x = [np.zeros((50, 40), "float16"), np.full((50, 40), 100, "float16")]
    z = ops.convert_to_numpy(Sampling(seed=0, dtype="mixed_float16")(x))
    assert z.dtype == np.float16
    assert np.isfinite(z).all()
    assert z.astype("float32").std() > 5000


def test_a_variational_autoencoder_trains():
    """Property: the sampling layer lets `fit` lower the reconstruction error."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    mu, log_var = keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(6)(Sampling(seed=1)([mu, log_var])))
    model.compile(keras.optimizers.Adam(0.05), "mse")
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(64, 2)) @ rng.normal(size=(2, 6))).astype("float32")
    loss = model.fit(x, x, epochs=30, verbose=0).history["loss"]
    assert loss[-1] < 0.5 * loss[0]
