"""TiRexCore: equivariance, order of quantiles, causality, the pinball loss, training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.models.tirex import TiRexCore
from dl_techniques.models.tirex.scaling import pinball

SMALL = {"context_length": 12, "horizon": 3, "patch_size": 4, "embed_dim": 4}
SMALL |= {"num_blocks": 1, "num_heads": 2, "quantiles": (0.1, 0.5, 0.9)}


@pytest.fixture
def series():
    x = np.random.default_rng(0).normal(size=(3, 12)).astype("float32")
    x[0, 3:6] = np.nan
    return x


def numbers(model, x):
    return keras.ops.convert_to_numpy(model(x))


def test_forecasts_follow_shift_and_scale_and_do_not_cross(series):
    """Property: f(a x + b) = a f(x) + b for a > 0, and quantiles ascend."""
    model = TiRexCore(**SMALL)
    found = numbers(model, series)
    moved = numbers(model, 3.0 * series - 2.0)
    np.testing.assert_allclose(moved, 3.0 * found - 2.0, rtol=1e-5, atol=2e-5)
    assert (np.diff(found, axis=-1) > 0).all()
    assert np.isfinite(found).all()


def test_a_recurrent_model_is_causal_unless_it_is_bidirectional(series):
    """Property: a token's features do not depend on later ones."""
    x = series[1:2, :, None]
    other = x.copy()
    other[:, -1] += 1.0
    for both_ways in (False, True):
        model = TiRexCore(**SMALL, block_type="lstm", bidirectional=both_ways)
        model.build((None, 12))
        block = model.blocks[0]
        ours, theirs = (numbers(block, model.patches(v)) for v in (x, other))
        same = np.abs(ours[:, :2] - theirs[:, :2]).max() == 0
        assert same != both_ways


@pytest.mark.oracle
def test_the_pinball_loss_agrees_with_scikit_learn(verify):
    from sklearn.metrics import mean_pinball_loss

    rng = np.random.default_rng(0)
    y, q = rng.normal(size=(4, 3)), rng.normal(size=(4, 3, 2))
    levels = (0.2, 0.9)
    found = keras.ops.convert_to_numpy(
        pinball(*(keras.ops.convert_to_tensor(v.astype("float32")) for v in (y, q)), levels)
    )
    pairs = [mean_pinball_loss(y.ravel(), q[..., i].ravel(), alpha=u) for i, u in enumerate(levels)]
    verify("dl_techniques>TiRexCore", "scikit-learn", found.mean(), np.mean(pairs))


def test_the_loss_leaves_out_what_was_not_observed(series):
    """Property: targets of NaN change neither the loss nor its mean."""
    model = TiRexCore(**SMALL)
    y = np.random.default_rng(1).normal(size=(3, 3)).astype("float32")
    q = model(series)

    def loss(rows):
        return keras.ops.convert_to_numpy(model.compute_loss(series[rows], y[rows], q[rows]))

    whole = [loss(slice(i, i + 1)) for i in (0, 1)]
    y[2] = np.nan
    np.testing.assert_allclose(loss(slice(None)), np.mean(whole), rtol=1e-5)
    with pytest.raises(ValueError, match="`y`"):
        model.compute_loss(series, None, q)


def test_learns_a_season():
    """Property: of a season of four steps the forecast comes near the next steps."""
    rng = np.random.default_rng(0)
    t = rng.integers(0, 4, (256, 1)) + np.arange(15)
    wave = np.sin(np.pi * t / 2 + 0.3).astype("float32")
    keras.utils.set_random_seed(0)
    model = TiRexCore(**{**SMALL, "embed_dim": 8}, block_type="transformer", monotone=False)
    model.compile(keras.optimizers.Adam(0.02))
    x, y = wave[:, :12], wave[:, 12:]
    model.fit(x, y, epochs=20, batch_size=64, verbose=0)
    error = np.abs(model.forecast(x)[..., 1] - y).mean()
    assert error < 0.1 * np.abs(y).mean()
    with pytest.raises(ValueError, match="`horizon`"):
        model.forecast(x, 4)
