"""Gaussian and Laplacian filters against SciPy, closed forms and properties."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.image.advanced_laplacian_filter import AdvancedLaplacianFilter
from dl_techniques.layers.image.borders import BORDERS, pad_axis
from dl_techniques.layers.image.gaussian_filter import GaussianFilter
from dl_techniques.layers.image.laplacian_filter import LaplacianFilter

# SciPy's names of our borders, and NumPy's.
SCIPY = {"same": "constant", "reflect": "mirror", "symmetric": "reflect", "nearest": "nearest"}
NUMPY = {"same": "constant", "reflect": "reflect", "symmetric": "symmetric", "nearest": "edge"}
GAUSSIAN = "dl_techniques>GaussianFilter"
LAPLACIAN = "dl_techniques>AdvancedLaplacianFilter"


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def applied(layer, x):
    return ops.convert_to_numpy(layer(x))


def gaussian(size, sigma):
    places = np.arange(size) - (size - 1) / 2
    taps = np.exp(-(places**2) / (2 * sigma**2))
    return taps / taps.sum()


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_borders_equal_numpy_beyond_several_periods(border, size):
    x = images(1, size, 3, 1)
    expected = np.pad(x, ((0, 0), (4, 11), (0, 0), (0, 0)), mode=NUMPY[border])
    np.testing.assert_array_equal(ops.convert_to_numpy(pad_axis(x, 1, 4, 11, border)), expected)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    ("size", "sigma"), [((5, 5), (1.0, 1.0)), ((3, 9), (0.6, 2.1)), ((9, 3), (2.1, 0.6))]
)
def test_gaussian_equals_scipy(border, size, sigma, verify):
    import scipy
    from scipy import ndimage

    x = images(2, 7, 8, 2)
    expected = x.astype("float64")
    for axis in (0, 1):
        taps = gaussian(size[axis], sigma[axis])
        expected = ndimage.correlate1d(expected, taps, axis + 1, mode=SCIPY[border])
    y = applied(GaussianFilter(size, sigma, padding=border), x)
    oracle = f"scipy.ndimage.correlate1d {scipy.__version__}"
    verify(GAUSSIAN, oracle, y, expected, tolerance=2e-6)


def test_gaussian_strides_sample_the_unstrided_result():
    x = images(1, 9, 11, 1)
    for padding in ("same", "valid"):
        whole = applied(GaussianFilter((4, 5), 1.3, padding=padding), x)
        layer = GaussianFilter((4, 5), 1.3, strides=(2, 3), padding=padding)
        np.testing.assert_allclose(applied(layer, x), whole[:, ::2, ::3], atol=1e-6)
        assert applied(layer, x).shape == layer.compute_output_shape(x.shape)


def test_gaussian_without_sigma_takes_the_rule_of_opencv():
    x = images(1, 9, 9, 1)
    rule = GaussianFilter(7, sigma=0.3 * (3 - 1) + 0.8)
    for sigma in (None, 0, (-1.0, None)):
        np.testing.assert_array_equal(applied(GaussianFilter(7, sigma), x), applied(rule, x))


def test_gaussian_of_an_unknown_size():
    model = keras.Sequential([keras.Input((None, None, 1)), GaussianFilter(5, padding="reflect")])
    for shape in ((2, 6, 7, 1), (2, 3, 9, 1)):
        x = images(*shape)
        expected = applied(GaussianFilter(5, padding="reflect"), x)
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-6)


def test_gradient_of_the_blur_is_the_blur_of_the_gradient():
    # With zeros beyond the borders the filter is a symmetric matrix.
    x, g = images(1, 6, 7, 2), images(1, 6, 7, 2)[:, ::-1].copy()
    layer = GaussianFilter((3, 5), (0.8, 1.4))
    result = value_and_gradients(lambda x, g: ops.sum(layer(x) * g), [], [x, g])
    np.testing.assert_allclose(result.inputs[0], applied(layer, g), atol=1e-6)


@pytest.mark.parametrize("border", BORDERS)
def test_laplacian_of_gaussian_equals_scipy(border, verify):
    import scipy
    from scipy import ndimage

    x = images(1, 9, 12, 1)
    y = applied(AdvancedLaplacianFilter("log", sigma=1.5, normalize=False, padding=border), x)
    image = x[0, ..., 0].astype("float64")
    expected = ndimage.gaussian_laplace(image, 1.5, mode=SCIPY[border])
    oracle = f"scipy.ndimage.gaussian_laplace {scipy.__version__}"
    verify(LAPLACIAN, oracle, y[0, ..., 0], expected, tolerance=2e-6)
    normalized = applied(AdvancedLaplacianFilter("log", sigma=1.5, padding=border), x)
    np.testing.assert_allclose(normalized, 1.5**2 * y, atol=1e-6)


def test_kernel_equals_scipy(verify):
    import scipy
    from scipy import ndimage

    x = images(1, 9, 12, 1)
    expected = ndimage.laplace(x[0, ..., 0].astype("float64"))
    y = applied(AdvancedLaplacianFilter("kernel", padding="symmetric"), x)
    verify(LAPLACIAN, f"scipy.ndimage.laplace {scipy.__version__}", y[0, ..., 0], expected)
    valid = applied(AdvancedLaplacianFilter("kernel", padding="valid"), x)
    np.testing.assert_allclose(valid, y[:, 1:-1, 1:-1], atol=1e-5)


def test_difference_of_gaussians_equals_scipy(verify):
    import scipy
    from scipy import ndimage

    x = images(1, 9, 12, 1)
    expected = [
        ndimage.gaussian_filter(x[0, ..., 0].astype("float64"), sigma, radius=8)
        for sigma in (1.0, 2.0)
    ]
    y = applied(AdvancedLaplacianFilter("dog", sigma2=2.0, padding="symmetric"), x)
    oracle = f"scipy.ndimage.gaussian_filter {scipy.__version__}"
    verify(LAPLACIAN, oracle, y[0, ..., 0], expected[0] - expected[1], tolerance=2e-6)


def test_basic_laplacian_is_the_image_less_its_blur(verify):
    x = images(2, 9, 8, 2)
    for padding in ("symmetric", "valid"):
        blur = applied(GaussianFilter((5, 4), 1.2, padding=padding), x).astype("float64")
        image = x if padding == "symmetric" else x[:, 2:-2, 1:-2]
        y = applied(LaplacianFilter((5, 4), 1.2, 3.0, padding), x)
        verify("dl_techniques>LaplacianFilter", "x - G x", y, 3.0 * (image - blur))


@pytest.mark.parametrize(
    "layer",
    [
        LaplacianFilter(padding="symmetric"),
        AdvancedLaplacianFilter("dog", padding="symmetric"),
        AdvancedLaplacianFilter("log", kernel_size=5, zero_mean=True, padding="symmetric"),
        AdvancedLaplacianFilter("kernel", padding="symmetric"),
    ],
    ids=["basic", "dog", "log", "kernel"],
)
def test_a_constant_image_gives_zero(layer):
    assert np.abs(applied(layer, np.full((1, 6, 6, 1), 3.0, "float32"))).max() < 1e-5


def test_zero_mean_subtracts_the_mean_of_the_kernel():
    impulse = np.zeros((1, 9, 9, 1), "float32")
    impulse[0, 4, 4] = 1
    config = {"method": "log", "kernel_size": 5, "sigma": 1.2}
    kernel = applied(AdvancedLaplacianFilter(**config), impulse)[0, 2:7, 2:7, 0]
    centred = applied(AdvancedLaplacianFilter(**config, zero_mean=True), impulse)[0, 2:7, 2:7, 0]
    assert abs(kernel.mean()) > 1e-3
    np.testing.assert_allclose(centred, kernel - kernel.mean(), atol=1e-6)


def test_the_basic_filter_has_the_opposite_sign_of_the_laplacian():
    wave = np.sin(2 * np.pi * np.arange(64) / 32)
    x = np.tile(wave, (64, 1))[None, ..., None].astype("float32")
    basic, log = (
        applied(layer, x)[0, 32, 12:52, 0]
        for layer in (LaplacianFilter(sigma=1.0), AdvancedLaplacianFilter("log"))
    )
    assert abs(np.sum(basic * log) / np.sum(log * log) + 0.5) < 0.02
