"""CLAHE against OpenCV, to the bit."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.image.clahe import CLAHE

ID = "dl_techniques>CLAHE"


def equalized(layer, x):
    return ops.convert_to_numpy(layer(x))


def greys(*shape):
    """Integers of which dark ones are more frequent."""
    x = np.random.default_rng(0).random(shape) ** 2
    return np.floor(256 * x).astype("float32")


CASES = [
    ((32, 48), (4, 8), 2.0),
    ((32, 32), (8, 8), 40.0),
    ((33, 47), (4, 4), 4.0),
    ((30, 50), (4, 7), 3.0),
    ((23, 31), (2, 3), 0.0),
    ((16, 16), (1, 1), 1.0),
]


@pytest.mark.oracle
@pytest.mark.parametrize(("size", "grid", "clip"), CASES)
def test_equals_opencv(size, grid, clip, verify):
    cv2 = pytest.importorskip("cv2")
    x = greys(2, *size, 1)
    peer = cv2.createCLAHE(clip, grid[::-1])
    expected = np.stack([peer.apply(image.astype("uint8")) for image in x[..., 0]])
    y = equalized(CLAHE(clip, tile_grid_size=grid), x)
    verify(ID, f"cv2.createCLAHE {cv2.__version__}", y[..., 0], expected, tolerance=0.0)
    # A compiler may contract a product and a sum, which moves halves to the other integer.
    model = keras.Sequential([keras.Input(x.shape[1:]), CLAHE(clip, tile_grid_size=grid)])
    compiled = model.predict(x, verbose=0)
    differences = np.abs(compiled[..., 0] - expected)
    assert differences.max() <= 1
    assert np.mean(differences > 0) < 0.002


def test_one_tile_without_a_limit_is_histogram_equalization(verify):
    x = greys(1, 12, 11, 1)
    counts = np.cumsum(np.bincount(x.astype(int).ravel(), minlength=256))
    table = np.round(counts * 255 / x.size)
    y = equalized(CLAHE(0.0, tile_grid_size=(1, 1)), x)
    verify(ID, "histogram equalization", y, table[x.astype(int)], tolerance=0.0)


def test_grey_levels_keep_their_order_in_one_tile():
    x = np.sort(greys(1, 16, 16, 1).ravel()).reshape(1, 16, 16, 1)
    y = equalized(CLAHE(3.0, tile_grid_size=(1, 1)), x).ravel()
    assert (np.diff(y) >= 0).all()
    assert y.max() > y.min()


def test_tile_size_gives_the_number_of_tiles():
    x = greys(1, 33, 20, 1)
    by_size = equalized(CLAHE(tile_size=8), x)
    np.testing.assert_array_equal(by_size, equalized(CLAHE(tile_grid_size=(5, 3)), x))


def test_a_batch_and_its_channels_equal_single_images():
    x = greys(2, 16, 24, 3)
    together = equalized(CLAHE(tile_size=8), x)
    for sample in range(2):
        for channel in range(3):
            alone = equalized(CLAHE(tile_size=8), x[sample : sample + 1, ..., channel, None])
            np.testing.assert_array_equal(together[sample, ..., channel], alone[0, ..., 0])


def test_another_range_is_scaled_to_the_bins_and_back():
    x = greys(1, 16, 16, 1)
    y = equalized(CLAHE(tile_size=8), x)
    unit = equalized(CLAHE(tile_size=8, value_range=(0, 1)), x / 255)
    np.testing.assert_allclose(255 * unit, y, atol=1e-3)


def test_sizes_that_are_not_known_in_advance():
    model = keras.Sequential([keras.Input((None, None, 1)), CLAHE(2.0, tile_size=8)])
    for shape in ((3, 16, 24, 1), (2, 19, 21, 1)):
        x = greys(*shape)
        expected = equalized(CLAHE(2.0, tile_size=8), x)
        assert np.abs(model.predict(x, verbose=0) - expected).max() <= 1


def test_nan_stays_nan():
    x = greys(1, 8, 8, 1)
    x[0, 3, 4] = np.nan
    y = equalized(CLAHE(tile_size=4), x)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))


@pytest.mark.parametrize("grid", [None, (2, 3)])
def test_no_images_stay_no_images(grid):
    images = CLAHE(tile_grid_size=grid)(np.zeros((0, 9, 12, 1), "float32"))
    assert tuple(images.shape) == (0, 9, 12, 1)
