"""HaarWaveletInitializer against PyWavelets, and as an orthonormal bank."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.initializers import HaarWaveletInitializer


def image(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def transform():
    haar = HaarWaveletInitializer()
    return keras.layers.DepthwiseConv2D(
        2, 2, depth_multiplier=4, depthwise_initializer=haar, use_bias=False
    )


@pytest.mark.oracle
def test_a_strided_convolution_is_the_wavelet_transform(verify):
    pywt = pytest.importorskip("pywt")
    x = image(2, 6, 8, 3)
    bands = ops.convert_to_numpy(transform()(x)).reshape(2, 3, 4, 3, 4)
    ll, (lh, hl, hh) = pywt.dwt2(x, "haar", mode="periodization", axes=(1, 2))
    name = "dl_techniques>HaarWaveletInitializer"
    verify(name, f"PyWavelets {pywt.__version__}", bands, np.stack([ll, lh, hl, hh], -1))


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_bank_is_orthonormal_up_to_the_scale(scale):
    kernel = ops.convert_to_numpy(HaarWaveletInitializer(scale)((2, 2, 2, 4)))
    for channel in range(2):
        bank = kernel[:, :, channel].reshape(4, 4)
        np.testing.assert_allclose(bank.T @ bank, scale**2 * np.eye(4), atol=1e-6)


def test_energy_is_kept_and_the_transposed_convolution_inverts():
    x = image(2, 4, 6, 1)
    bands = transform()(x)
    energy = np.sum(ops.convert_to_numpy(bands) ** 2)
    assert energy == pytest.approx(np.sum(x**2), rel=1e-5)
    haar = HaarWaveletInitializer()
    inverse = keras.layers.Conv2DTranspose(1, 2, 2, kernel_initializer=haar, use_bias=False)
    np.testing.assert_allclose(ops.convert_to_numpy(inverse(bands)), x, atol=1e-5)


def test_filters_repeat_beyond_four():
    kernel = ops.convert_to_numpy(HaarWaveletInitializer()((2, 2, 1, 6)))
    np.testing.assert_array_equal(kernel[..., 4:], kernel[..., :2])


@pytest.mark.parametrize("shape", [(3, 3, 1, 4), (2, 2, 4), (4,), (2, 3, 1, 4)])
def test_other_kernels_are_refused(shape):
    with pytest.raises(ValueError, match="`shape`"):
        HaarWaveletInitializer()(shape)
