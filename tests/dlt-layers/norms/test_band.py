"""BandRMS and BandLogitNorm by their stated properties."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.norms import BandLogitNorm, BandRMS

NORMS = {
    BandRMS: lambda x, axis=-1: np.sqrt(np.mean(x.astype("float64") ** 2, axis=axis)),
    BandLogitNorm: lambda x, axis=-1: np.sqrt(np.sum(x.astype("float64") ** 2, axis=axis)),
}
CLASSES = sorted(NORMS, key=lambda cls: cls.__name__)
SCALES = np.float32(10.0) ** np.arange(-4, 5)


def call(layer, x):
    return ops.convert_to_numpy(layer(x))


def vectors(seed=0, shape=(7, 6)):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("mode", ["learned", "magnitude"])
@pytest.mark.parametrize("w", [-50.0, -1.0, 0.0, 2.0, 50.0])
def test_the_norm_lies_in_the_band_at_every_scale(cls, mode, w):
    layer = cls(max_band_width=0.3, mode=mode)
    layer.build((None, 6))
    layer.band.assign(w)
    for scale in SCALES:
        got = NORMS[cls](call(layer, scale * vectors()))
        assert got.min() >= 0.7 - 1e-5
        assert got.max() <= 1 + 1e-5


@pytest.mark.parametrize("cls", CLASSES)
def test_learned_is_odd_and_does_not_see_the_scale(cls, verify):
    layer, x = cls(max_band_width=0.2), vectors()
    expected = 0.9 * x / NORMS[cls](x)[:, None]
    verify(f"dl_techniques>{cls.__name__}", "closed form in float64", call(layer, x), expected)
    for scale in SCALES:
        np.testing.assert_allclose(call(layer, scale * x), expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(call(layer, -x), -call(layer, x))


@pytest.mark.parametrize("cls", CLASSES)
def test_magnitude_grows_with_the_scale(cls, verify):
    layer = cls(max_band_width=0.4, mode="magnitude", reference=2.0)
    x = vectors()
    scales = np.float32(2.0) ** np.arange(-4, 5)
    lengths = np.stack([NORMS[cls](call(layer, c * x)) for c in scales])
    assert (np.diff(lengths, axis=0) > 0).all()
    r = NORMS[cls](x)
    s = 0.6 + 0.4 / (1 + 2.0 / r)  # sigmoid(ln(r / r_0)) = r / (r + r_0)
    expected = s[:, None] * x / r[:, None]
    verify(f"dl_techniques>{cls.__name__}", "closed form in float64", call(layer, x), expected)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("mode", ["learned", "magnitude"])
def test_zero_gives_zero_and_finite_gradients(cls, mode):
    layer = cls(mode=mode)
    x = np.zeros((2, 4), "float32")
    layer.build(x.shape)
    result = value_and_gradients(lambda x: ops.sum(layer(x)), layer.trainable_variables, [x])
    assert result.value == 0
    assert all(np.isfinite(g).all() for g in [*result.variables, *result.inputs])


@pytest.mark.parametrize("cls", CLASSES)
def test_joint_axes_and_masks(cls):
    layer = cls(axis=(1, 2))
    x = vectors(shape=(2, 4, 3))
    np.testing.assert_allclose(NORMS[cls](call(layer, x), axis=(1, 2)), 0.95, rtol=1e-5)
    mask = ops.convert_to_tensor(np.array([[1, 1, 1, 0]] * 2, bool))
    shown = ops.convert_to_numpy(layer(x, mask=mask))[:, :3]
    np.testing.assert_allclose(shown, call(layer, x[:, :3]), rtol=1e-5)


def test_a_vanishing_band_is_rms_normalization():
    from dl_techniques.layers.norms import RMSNorm

    x = vectors()
    rms = call(RMSNorm(use_scale=False), x)
    np.testing.assert_allclose(call(BandRMS(max_band_width=1e-6), x), rms, rtol=1e-5)


def test_the_band_is_regularized_by_default():
    for settings, expected in [({}, 1e-5 * 4), ({"band_regularizer": None}, 0)]:
        layer = BandRMS(**settings)
        layer.build((None, 3))
        layer.band.assign(2.0)
        total = sum(float(ops.convert_to_numpy(loss)) for loss in layer.losses)
        assert total == pytest.approx(expected)
        assert BandRMS.from_config(layer.get_config()).get_config() == layer.get_config()
