"""Canny against scikit-image, pixel for pixel."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.image.canny import Canny
from dl_techniques.layers.image.hysteresis import hysteresis

# scikit-image's names of our borders.
MODES = {"constant": "constant", "reflect": "mirror", "symmetric": "reflect", "nearest": "nearest"}


def edges(layer, x):
    return ops.convert_to_numpy(layer(x))


def blobs(*shape):
    """Smooth random images without ties."""
    x = np.random.default_rng(0).random(shape).astype("float32")
    rows, columns = np.meshgrid(*map(np.arange, shape[1:3]), indexing="ij")
    return x + 2 * (np.hypot(rows - 8, columns - 9) < 6)[None, ..., None].astype("float32")


@pytest.mark.oracle
@pytest.mark.parametrize("border", MODES)
@pytest.mark.parametrize("size", [(17, 23), (24, 16), (5, 40), (2, 9), (1, 4)])
def test_equals_scikit_image(border, size, verify):
    feature = pytest.importorskip("skimage.feature")
    import skimage

    x = blobs(2, *size, 1)
    for quantiles, low, high in ((False, 0.6, 1.4), (True, 0.55, 0.85)):
        y = edges(Canny(1.2, low, high, border, quantiles), x)
        expected = [
            feature.canny(image, 1.2, low, high, use_quantiles=quantiles, mode=MODES[border])
            for image in x[..., 0]
        ]
        oracle = f"skimage.feature.canny {skimage.__version__}"
        # Of equal images, the compilers may round one pixel otherwise than C does.
        differing = np.count_nonzero(y[..., 0] != np.stack(expected))
        assert differing <= 1, f"{differing} pixels"
        if not differing:
            verify("dl_techniques>Canny", oracle, y[..., 0], np.stack(expected))


@pytest.mark.oracle
@pytest.mark.slow
def test_equals_scikit_image_on_a_photograph(verify):
    skimage = pytest.importorskip("skimage")
    from skimage import data, feature

    image = data.camera().astype("float32") / 255
    expected = feature.canny(image, 1.5, 0.1, 0.2)
    y = edges(Canny(1.5), image[None, ..., None])[0, ..., 0]
    assert expected.sum() > 5000
    verify("dl_techniques>Canny", f"skimage.feature.canny {skimage.__version__}", y, expected)


def spiral(size):
    """A curve of single pixels from the centre to the border."""
    grid = np.zeros((size, size), bool)
    row = column = size // 2
    step, (down, right) = 2, (0, 1)
    while min(row, column) >= 1 and max(row, column) < size - 1:
        for _ in range(step):
            if not (min(row, column) >= 1 and max(row, column) < size - 1):
                break
            grid[row, column] = True
            row, column = row + down, column + right
        down, right = right, -down
        step += 1
    return grid


def test_hysteresis_follows_a_spiral_to_its_end():
    from scipy import ndimage

    weak = spiral(48)
    weak[40, 2] = True  # a component of its own
    strong = np.zeros_like(weak)
    strong[24, 24] = True
    labels, _ = ndimage.label(weak, np.ones((3, 3)))
    kept = hysteresis(*(ops.convert_to_tensor(a[None, ..., None]) for a in (weak, strong)))
    expected = labels == labels[24, 24]
    assert expected.sum() > 300  # many times the image's width
    np.testing.assert_array_equal(ops.convert_to_numpy(kept)[0, ..., 0], expected)


def test_a_batch_and_its_channels_equal_single_images():
    x = blobs(2, 17, 23, 3)
    together = edges(Canny(), x)
    for sample in range(2):
        for channel in range(3):
            alone = edges(Canny(), x[sample : sample + 1, ..., channel : channel + 1])
            np.testing.assert_array_equal(together[sample, ..., channel], alone[0, ..., 0])
    assert together.any()


def test_thresholds_have_the_scale_of_the_image():
    x = blobs(1, 17, 23, 1)
    scaled = edges(Canny(1.0, 255 * 0.5, 255 * 1.0), 255 * x)
    np.testing.assert_array_equal(scaled, edges(Canny(1.0, 0.5, 1.0), x))


def test_a_constant_image_has_no_edges():
    assert not edges(Canny(threshold_min=0.0), np.full((1, 12, 12, 1), 0.7, "float32")).any()


def test_fits_and_predicts_inside_a_model_of_any_size():
    model = keras.Sequential(
        [
            keras.Input((None, None, 1)),
            Canny(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1),
        ]
    )
    jit = keras.backend.backend() != "torch"
    model.compile("sgd", "mse", jit_compile=jit)
    x = blobs(4, 17, 19, 1)
    before = model.layers[-1].get_weights()[0].copy()
    model.fit(x, np.ones((4, 1)), batch_size=2, epochs=1, verbose=0)
    assert np.any(model.layers[-1].get_weights()[0] != before)
    assert np.isfinite(model.predict(blobs(2, 20, 18, 1), verbose=0)).all()
