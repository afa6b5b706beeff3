"""VAE: the count of its parameters, its loss in numpy and by torch, training on all backends."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.models.vae import VAE
from dl_techniques.models.vae.vae import kl_divergence

SMALL = {"input_shape": (8, 8, 1), "latent_dim": 2, "filters": (4,), "hidden_dim": 8}


@pytest.fixture
def pixels():
    return np.random.default_rng(0).uniform(size=(8, 8, 8, 1)).astype("float32")


def test_parameters():
    assert VAE().count_params() == 1_688_289


@pytest.mark.oracle
def test_divergence(agrees):
    import torch
    from torch.distributions import Normal
    from torch.distributions import kl_divergence as theirs

    rng = np.random.default_rng(0)
    mean, log_var = rng.normal(size=(2, 4, 3)).astype("float32")
    normal = Normal(torch.tensor(mean), torch.tensor(np.exp(0.5 * log_var)))
    expected = theirs(normal, Normal(0.0, 1.0)).sum(-1)
    agrees("VAE", "torch.distributions", kl_divergence(mean, log_var), expected, "KL")


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_loss_is_the_bound(likelihood, pixels):
    """Closed form, at the mean: at inference nothing is drawn."""
    model = VAE(**SMALL, likelihood=likelihood, variance=0.5, beta=2.0)
    model.compile()
    found = model.evaluate(pixels, verbose=0, return_dict=True)
    y = {k: keras.ops.convert_to_numpy(v) for k, v in model(pixels).items()}
    given, mean, log_var = y["reconstruction"], y["mean"], y["log_var"]
    if likelihood == "gaussian":
        parts = (pixels - given) ** 2 / (2 * 0.5)
    else:
        parts = -pixels * np.log(given) - (1 - pixels) * np.log(1 - given)
    reconstruction = parts.sum((1, 2, 3)).mean()
    divergence = -0.5 * (1 + log_var - mean**2 - np.exp(log_var)).sum(-1).mean()
    np.testing.assert_allclose(found["reconstruction_loss"], reconstruction, rtol=1e-5)
    np.testing.assert_allclose(found["kl"], divergence, rtol=1e-4)
    np.testing.assert_allclose(found["loss"], reconstruction + 2 * divergence, rtol=1e-5)


def test_trains_draws_and_decodes(pixels):
    model = VAE(**SMALL, seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    losses = model.fit(pixels, epochs=30, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0]
    mean, _ = model.encode(pixels)
    ours = keras.ops.convert_to_numpy(model.decode(mean))
    theirs = keras.ops.convert_to_numpy(model.reconstruct(pixels))
    np.testing.assert_allclose(ours, theirs)
    assert tuple(model.sample(3, seed=1).shape) == (3, 8, 8, 1)
    weighted = model.evaluate(pixels, pixels, sample_weight=np.zeros(8), verbose=0)
    assert weighted[0] == 0.0


@pytest.mark.slow
def test_a_linear_one_spans_the_principal_components():
    """Property: with a fixed variance the decoder's columns span the leading subspace."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    scales = np.array([3.0, 2.0] + [0.1] * 14)
    data = (rng.normal(size=(512, 16)) * scales) @ basis.T
    data = (data - data.mean(0)).astype("float32")
    model = VAE((4, 4, 1), 2, (), None, likelihood="gaussian", variance=0.01, seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(data.reshape(-1, 4, 4, 1), epochs=400, batch_size=128, verbose=0)
    kernel = keras.ops.convert_to_numpy(model.decoder.layers[1].kernel).T
    found = np.linalg.qr(kernel)[0]
    cosines = np.linalg.svd(found.T @ basis[:, :2])[1]
    assert np.degrees(np.arccos(np.clip(cosines.min(), -1, 1))) < 5
