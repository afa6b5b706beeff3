"""Shearlets against the FFT in float64, and by the properties of a Parseval frame."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.image.shearlet_filters import analytic_factor, shearlet_filters
from dl_techniques.layers.image.shearlet_transform import ShearletTransform

ID = "dl_techniques>ShearletTransform"
SIZES = [((16, 16), 2), ((14, 14), 3), ((9, 15), 2), ((17, 10), 1), ((1, 8), 1), ((2, 3), 1)]


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(("size", "scales"), SIZES)
def test_squares_of_the_filters_sum_to_one(size, scales):
    filters = shearlet_filters(*size, scales)
    assert filters.shape == (4 * (2**scales - 1) + 1, *size)
    np.testing.assert_allclose((filters**2).sum(0), 1, atol=1e-13)


@pytest.mark.parametrize(("size", "scales"), SIZES)
@pytest.mark.parametrize("complex_output", [False, True])
def test_reconstructs_perfectly_and_keeps_the_energy(size, scales, complex_output, verify):
    x = images(2, *size, 3)
    layer = ShearletTransform(scales, complex_output)
    c = layer(x)
    verify(ID, "perfect reconstruction", layer.inverse(c), x, tolerance=5e-6)
    energy = (np.abs(ops.convert_to_numpy(c)) ** 2).sum()
    assert abs(energy / (x**2).sum() - 1) < 2e-5


@pytest.mark.parametrize("complex_output", [False, True])
def test_equals_the_filters_in_float64(complex_output, verify):
    x = images(2, 9, 12, 2)
    psi = shearlet_filters(9, 12, 2) * (analytic_factor(9, 12) if complex_output else 1)
    spectrum = np.fft.fft2(x.astype("float64"), axes=(1, 2))[..., None]
    expected = np.fft.ifft2(spectrum * psi.transpose(1, 2, 0)[:, :, None], axes=(1, 2))
    y = ops.convert_to_numpy(ShearletTransform(2, complex_output)(x)).reshape(expected.shape)
    assert y.dtype == ("complex64" if complex_output else "float32")
    oracle = "numpy.fft in float64"
    verify(ID, oracle, y.real, expected.real)
    assert np.abs(expected.imag).max() < 1e-12 or complex_output
    verify(ID, oracle, y.imag, expected.imag)


def test_the_lowpass_can_be_left_out():
    x = images(1, 8, 8, 2)
    whole = ops.convert_to_numpy(ShearletTransform(2)(x)).reshape(1, 8, 8, 2, 13)
    rest = ops.convert_to_numpy(ShearletTransform(2, return_lowpass=False)(x))
    np.testing.assert_allclose(rest.reshape(1, 8, 8, 2, 12), whole[..., 1:], atol=1e-6)
    layer = ShearletTransform(2, return_lowpass=False)
    layer.build(x.shape)
    with pytest.raises(ValueError, match="return_lowpass"):
        layer.inverse(rest)


def test_a_shift_of_the_image_shifts_the_coefficients():
    x = images(1, 10, 13, 1)
    layer = ShearletTransform(2)
    shifted = layer(np.roll(x, (3, 5), axis=(1, 2)))
    expected = np.roll(ops.convert_to_numpy(layer(x)), (3, 5), axis=(1, 2))
    np.testing.assert_allclose(ops.convert_to_numpy(shifted), expected, atol=1e-5)


@pytest.mark.parametrize(("wave", "direction"), [((0, 10), 0), ((10, 0), 0), ((8, 8), None)])
def test_a_grating_has_its_energy_in_its_own_direction(wave, direction):
    rows, columns = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
    x = np.cos(2 * np.pi * (wave[0] * rows + wave[1] * columns) / 32)
    c = ops.convert_to_numpy(ShearletTransform(2)(x[None, ..., None].astype("float32")))
    energy = (c**2).sum(axis=(0, 1, 2))
    fine = energy[5:] / energy.sum()  # the finer of both scales: 3 + 3 directions, 2 seams
    if direction is None:
        assert fine[6:].max() > 0.9
    else:
        cone = fine[:3] if wave[0] == 0 else fine[3:6]
        assert cone[1] > 0.9  # k = 0


def test_gradient_is_the_adjoint():
    x, g = images(1, 6, 7, 1), images(1, 6, 7, 5)
    layer = ShearletTransform(1)
    layer.build(x.shape)
    result = value_and_gradients(lambda x, g: ops.sum(layer(x) * g), [], [x, g])
    # Of a Parseval frame with real coefficients, the inverse is the adjoint.
    np.testing.assert_allclose(result.inputs[0], ops.convert_to_numpy(layer.inverse(g)), atol=1e-5)


@pytest.mark.parametrize("complex_output", [False, True])
def test_a_model_knows_the_dtype_and_the_number_of_coefficients(complex_output):
    inputs = keras.Input((8, 9, 2))
    outputs = ShearletTransform(2, complex_output)(inputs)
    assert outputs.shape == (None, 8, 9, 26)
    assert outputs.dtype == ("complex64" if complex_output else "float32")
    magnitude = keras.layers.Lambda(ops.abs)(outputs)
    y = keras.Model(inputs, magnitude).predict(images(2, 8, 9, 2), verbose=0)
    assert y.shape == (2, 8, 9, 26)
    assert np.isfinite(y).all()
