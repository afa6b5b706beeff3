"""Mixture density layer and its functions against torch.distributions."""

from __future__ import annotations

import importlib

import keras
import numpy as np
import pytest
from keras import ops

import dl_techniques.layers as layers
from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers import MDNLayer, mdn_moments, mdn_nll, mdn_sample

K, D = 3, 2


def mixture(batch=6, seed=0):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(batch, K, D))
    deviations = rng.uniform(0.3, 1.5, (batch, K, D))
    logits = rng.normal(size=(batch, K))
    params = np.concatenate([means.reshape(batch, -1), deviations.reshape(batch, -1), logits], -1)
    return params.astype("float32")


def peer(params):
    import torch
    from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

    means, deviations, logits = torch.split(params, [K * D, K * D, K], dim=-1)
    shape = (*params.shape[:-1], K, D)
    normals = Independent(Normal(means.reshape(shape), deviations.reshape(shape)), 1)
    return MixtureSameFamily(Categorical(logits=logits), normals)


@pytest.mark.oracle
@pytest.mark.parametrize("distance", [0.0, 40.0])
def test_the_likelihood_equals_torch_with_gradients(distance, verify):
    torch = pytest.importorskip("torch")
    params = mixture()
    y = (np.random.default_rng(1).normal(size=(6, D)) + distance).astype("float32")
    g = np.random.default_rng(2).normal(size=6).astype("float32")
    tensors = [torch.tensor(a, requires_grad=True) for a in (y, params)]
    expected = -peer(tensors[1]).log_prob(tensors[0])
    (expected * torch.tensor(g)).sum().backward()
    result = value_and_gradients(
        lambda y, p, g: ops.sum(mdn_nll(y, p, K, D) * g), [], [y, params, g]
    )
    name, oracle = "dl_techniques>mdn_nll", f"torch.distributions {torch.__version__}"
    verify(name, oracle, ops.convert_to_numpy(mdn_nll(y, params, K, D)), expected, tolerance=2e-5)
    for mine, tensor in zip(result.inputs, tensors, strict=False):
        verify(name, oracle, mine, tensor.grad, what="gradient of inputs", tolerance=5e-5)


@pytest.mark.oracle
def test_moments_equal_torch(verify):
    torch = pytest.importorskip("torch")
    params = mixture()
    mean, aleatoric, epistemic = (ops.convert_to_numpy(part) for part in mdn_moments(params, K, D))
    exact = peer(torch.tensor(params))
    name, oracle = "dl_techniques>mdn_moments", f"torch.distributions {torch.__version__}"
    verify(name, oracle, mean, exact.mean)
    verify(name, oracle, aleatoric + epistemic, exact.variance)
    assert (aleatoric > 0).all()
    assert (epistemic >= 0).all()


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_samples_have_the_moments_of_the_mixture(verify, temperature):
    """Oracle: mean and variance of the mixture, within four standard errors."""
    n, params = 20_000, mixture(1)
    samples = mdn_sample(np.repeat(params, n, axis=0), K, D, temperature, seed=3)
    samples = ops.convert_to_numpy(samples).astype("float64")
    sharpened = params.copy()
    sharpened[:, -K:] /= temperature
    mean, *parts = (ops.convert_to_numpy(part)[0] for part in mdn_moments(sharpened, K, D))
    variance = sum(parts)
    oracle = "moments of the mixture, in units of four standard errors"
    off = (samples.mean(axis=0) - mean) / (4 * np.sqrt(variance / n))
    verify("dl_techniques>mdn_sample", oracle, off, np.zeros_like(off), tolerance=1)
    fourth = np.mean((samples - mean) ** 4, axis=0)
    error = 4 * np.sqrt((fourth - variance**2) / n)
    assert (np.abs(samples.var(axis=0) - variance) < error).all()


def test_the_choice_of_a_component_is_independent_of_the_noise():
    """Two far components: within each the noise is N(0, 1)."""
    params = np.array([[-50, 50, 1, 1, 0, 0]], "float32").repeat(4000, axis=0)
    y = ops.convert_to_numpy(mdn_sample(params, 2, 1, seed=5))[:, 0]
    right = y[y > 0] - 50
    assert abs(len(right) - 2000) < 4 * np.sqrt(1000)
    assert abs(right.mean()) < 4 / np.sqrt(len(right))
    assert right.var() == pytest.approx(1, abs=0.13)
    generator = keras.random.SeedGenerator(1)
    draws = [ops.convert_to_numpy(mdn_sample(params, 2, 1, seed=generator)) for _ in range(2)]
    assert (draws[0] != draws[1]).any()


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("elu_plus_one", lambda x: np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))),
        ("softplus", lambda x: np.log1p(np.exp(x))),
        ("exp", np.exp),
    ],
)
def test_the_layout_is_means_deviations_logits(activation, function, verify):
    """Oracle: three dense layers in float64."""
    x = np.random.default_rng(0).normal(size=(4, 3, 5)).astype("float32")
    layer = MDNLayer(D, K, sigma_activation=activation, min_sigma=0.01, bias_initializer="ones")
    actual = ops.convert_to_numpy(layer(x))
    mus, sigmas, pi = (
        x.astype("float64") @ ops.convert_to_numpy(part.kernel) + 1
        for part in (layer.mdn_mus, layer.mdn_sigmas, layer.mdn_pi)
    )
    expected = np.concatenate([mus, function(sigmas) + 0.01, pi], -1)
    verify("dl_techniques>MDNLayer", "three dense layers in float64", actual, expected)


def test_deviations_stay_positive_far_out():
    layer = MDNLayer(1, 1, kernel_initializer="ones")
    deviation = ops.convert_to_numpy(layer(np.array([[-1e4]], "float32")))[0, 1]
    assert deviation == np.float32(1e-6)


def test_it_learns_a_distribution_of_two_values():
    """Property: y is x or -x with equal chance, which a regression's mean would miss."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 1, (512, 1)).astype("float32")
    y = x * rng.choice([-1, 1], x.shape).astype("float32")
    model = keras.Sequential([keras.Input((1,)), MDNLayer(1, 2, "softplus")])
    rates = keras.optimizers.schedules.CosineDecay(0.05, 400)
    model.compile(keras.optimizers.Adam(rates), lambda y, p: mdn_nll(y, p, 2, 1))
    model.fit(x, y, epochs=100, batch_size=128, verbose=0)
    params = ops.convert_to_numpy(model(np.array([[0.75]], "float32")))[0]
    np.testing.assert_allclose(sorted(params[:2]), [-0.75, 0.75], atol=0.1)
    assert (params[2:4] < 0.2).all()


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="last axis of `params`"):
        mdn_nll(np.zeros((2, 1), "float32"), np.zeros((2, 4), "float32"), 2, 1)


@pytest.mark.parametrize(("module", "name"), [("mdn_layer", "MDNLayer"), ("sampling", "Sampling")])
def test_modules_of_the_original_lead_to_the_components(module, name):
    path = importlib.import_module(f"dl_techniques.layers.{module}")
    assert getattr(path, name) is getattr(layers, name)
