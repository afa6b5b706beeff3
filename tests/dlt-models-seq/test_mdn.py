"""MDNModel: torch's and keras-mdn-layer's mixtures, quantiles against SciPy, training, saving."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.core import load_model, save_model
from dl_techniques.core.testing.differentiation import differentiator
from dl_techniques.models.mdn import MDNModel
from dl_techniques.models.mdn.quantiles import mixture_quantile

SMALL = {"hidden_units": (4,), "output_dimension": 2, "num_mixtures": 3, "min_sigma": 0.1}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 3)).astype("float32"), rng.normal(size=(6, 2)).astype("float32")


def _peer(params):
    """The torch distribution of parameters of 3 components in 2 dimensions."""
    import torch
    from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

    means = params[:, :6].reshape(-1, 3, 2)
    deviations = params[:, 6:12].reshape(-1, 3, 2)
    parts = Independent(Normal(means, deviations), 1)
    assert torch.is_tensor(means)
    return MixtureSameFamily(Categorical(logits=params[:, 12:]), parts)


@pytest.mark.oracle
def test_likelihood_moments_and_samples_agree_with_torch(data, verify):
    import torch

    x, y = data
    model = MDNModel(**SMALL)
    model.compile()
    loss = model.evaluate(x, y, verbose=0)
    params = keras.ops.convert_to_numpy(model(x))
    peer = _peer(torch.tensor(params))
    name, oracle = "dl_techniques>MDNModel", "torch MixtureSameFamily"
    verify(name, oracle, np.array(loss), -peer.log_prob(torch.tensor(y)).mean().numpy())
    found = model.predict_with_uncertainty(x)
    verify(name, oracle, found.mean, peer.mean.numpy(), what="mean")
    verify(name, oracle, found.variance, peer.variance.numpy(), what="variance")
    samples = model.sample(x, 4000, seed=3)
    error = np.sqrt(found.variance / 4000)
    assert np.all(np.abs(samples.mean(0) - found.mean) < 4.5 * error)
    np.testing.assert_allclose(samples.var(0), found.variance, rtol=0.2)


@pytest.mark.oracle
def test_parameters_likelihood_and_gradients_agree_with_keras_mdn_layer(data, verify):
    from keras_mdn_layer import MDN, get_mixture_loss_func

    x, y = data
    # The peer adds Keras's epsilon to the deviations.
    settings = {"sigma_activation": "elu_plus_one", "min_sigma": keras.backend.epsilon()}
    model = MDNModel(**{**SMALL, **settings})
    model.build((None, 3))
    model.compile()
    peer = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "relu"), MDN(2, 3)])
    peer.set_weights(model.get_weights())
    nll = get_mixture_loss_func(2, 3)
    losses = (
        lambda t: model.compute_loss(y=y, y_pred=model(t)),
        lambda t: nll(keras.ops.convert_to_tensor(y), peer(t)),
    )
    pairs = zip(losses, (model, peer), strict=True)
    ours, theirs = (differentiator(f, m.trainable_variables)([x]) for f, m in pairs)
    name, oracle = "dl_techniques>MDNModel", "keras-mdn-layer"
    params = [keras.ops.convert_to_numpy(m(x)) for m in (model, peer)]
    verify(name, oracle, *params, what="parameters")
    verify(name, oracle, np.asarray(ours.value), np.asarray(theirs.value))
    for mine, other in zip(ours.variables, theirs.variables, strict=True):
        verify(name, oracle, np.asarray(mine), np.asarray(other), what="gradient of weights")


def test_weighted_loss_is_the_weighted_sum_of_likelihoods(data):
    """Property: weights scale each sample's likelihood; the mean is over the batch."""
    x, y = data
    model = MDNModel(**SMALL)
    model.compile()
    weights = np.array([0, 1, 2, 0, 0, 3], "float32")
    each = keras.ops.convert_to_numpy(model.nll(y, model(x)))
    found = model.evaluate(x, y, sample_weight=weights, verbose=0)
    np.testing.assert_allclose(found, (each * weights).mean(), rtol=1e-5)


def test_quantiles_of_one_component_are_the_normal_ones():
    """Oracle: SciPy's normal distribution, and the closed form of two far components."""
    from scipy.stats import norm

    levels = (1e-4, 0.05, 0.5, 0.95)
    params = np.array([[3.0, -1.0, 0.5, 2.0, 0.7]], "float32")  # K = 1, D = 2
    found = mixture_quantile(params, levels, 1, 2)
    expected = [norm.ppf(levels, 3.0, 0.5), norm.ppf(levels, -1.0, 2.0)]
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    apart = np.array([[-100.0, 100.0, 1.0, 1.0, 0.0, 0.0]], "float32")
    found = mixture_quantile(apart, (0.25, 0.75), 2, 1)[0, 0]
    np.testing.assert_allclose(found, [-100, 100], atol=1e-4)


def test_learns_two_branches_and_covers_them():
    """Property: y = +-1 by a fair coin has mean 0 and epistemic variance 1."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (512, 1)).astype("float32")
    y = (rng.choice([-1.0, 1.0], 512) + 0.1 * rng.normal(size=512)).astype("float32")
    keras.utils.set_random_seed(0)
    model = MDNModel((8,), num_mixtures=2, activation="tanh")
    model.build((None, 1))
    # Components that start apart do not end in one place, whatever the seed.
    model.mixture.mdn_mus.bias.assign(np.array([-0.5, 0.5]))
    model.compile(keras.optimizers.Adam(0.02))
    losses = model.fit(x, y, epochs=30, batch_size=64, verbose=0).history["loss"]
    assert losses[-1] < 0.3 < losses[0]
    found = model.predict_with_uncertainty(x)
    np.testing.assert_allclose(found.epistemic.mean(), 1.0, atol=0.1)
    np.testing.assert_allclose(found.aleatoric.mean(), 0.01, atol=0.02)
    low, high = model.predict_interval(x, 0.9)
    inside = (low[:, 0] <= y) & (y <= high[:, 0])
    assert 0.85 < inside.mean() < 0.95


@pytest.mark.parametrize("scale", [0.1, 30.0])
def test_calibrated_intervals_hold_as_many_samples_as_promised(scale):
    """Closed form: of 19 calibration samples ceil(20 x 0.8) = 16 lie inside, for each target."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(19, 3)).astype("float32")
    y = (scale * rng.normal(size=(19, 2))).astype("float32")
    model = MDNModel(**SMALL)
    plain = model.predict_interval(x, 0.8)
    low, high = model.predict_interval(x, 0.8, calibration=(x, y))
    # One sample lies on an end, where rounding decides.
    assert (((low - 1e-5 <= y) & (y <= high + 1e-5)).sum(0) == 16).all()
    np.testing.assert_allclose(low + high, plain[0] + plain[1], atol=1e-5)
    with pytest.raises(ValueError, match="at least 19 samples"):
        model.predict_interval(x, 0.95, calibration=(x[:18], y[:18]))
    model.predict_interval(x, 0.95, calibration=(x, y))


def test_reads_sequences_and_comes_back_from_a_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    model = MDNModel((4,), num_mixtures=2, features=keras.layers.GRU(3))
    before = model.predict(x, verbose=0)
    save_model(model, tmp_path / "model.keras")
    after = load_model(tmp_path / "model.keras").predict(x, verbose=0)
    np.testing.assert_array_equal(before, after)


def test_a_loaded_model_keeps_training_on_the_likelihood(data, tmp_path):
    """Property: `compile` without a loss is restored as such, so the loss stays the likelihood."""
    x, y = data
    model = MDNModel(**SMALL)
    model.compile("sgd")
    before = model.evaluate(x, y, verbose=0)
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert again.compiled
    np.testing.assert_allclose(again.evaluate(x, y, verbose=0), before, rtol=1e-6)
    again.fit(x, y, epochs=3, verbose=0)
    assert again.evaluate(x, y, verbose=0) < before


def test_refuses_levels_and_missing_targets(data):
    model = MDNModel(**SMALL)
    model.compile()
    with pytest.raises(ValueError, match="coverage"):
        model.predict_interval(data[0], 1.0)
    with pytest.raises(ValueError, match="levels"):
        model.predict_quantiles(data[0], (0.0, 0.5))
    with pytest.raises(ValueError, match="`y`"):
        model.compute_loss(y_pred=model(data[0]))
