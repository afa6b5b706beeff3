"""Oracles: Pillow for bytes, torchvision for crops; for the model, our own arithmetic in NumPy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dl_techniques.weights import Preprocess, Preprocessor, preprocessing_model
from dl_techniques.weights.resampling import resize, resize_bytes

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (37, 51, 3), dtype=np.uint8)
# Smooth, as photographs are; noise is the hard case.
WAVE = (127 + 127 * np.sin(np.add.outer(np.arange(90), 2 * np.arange(120)) / 20)).astype("uint8")
WAVE = np.stack([WAVE, WAVE[::-1], WAVE[:, ::-1]], -1)


@pytest.mark.parametrize("filter", ["box", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(16, 16), (74, 102), (37, 20), (101, 7), (1, 1)], ids=str)
def test_resized_bytes_are_pillows(filter, size):
    image = pytest.importorskip("PIL.Image")
    name = "LANCZOS" if filter == "lanczos" else filter.upper()
    expected = np.asarray(image.fromarray(IMAGE).resize(size[::-1], image.Resampling[name]))
    np.testing.assert_array_equal(resize_bytes(IMAGE, size, filter), expected)


def test_floating_point_differs_by_one_grey_level():
    for size in ((16, 16), (70, 130)):
        exact = resize_bytes(WAVE, size, "bicubic")
        assert np.max(np.abs(resize(WAVE, size, "bicubic") - exact)) <= 1.1


@pytest.mark.oracle
@pytest.mark.parametrize("shape", [(37, 51), (51, 37), (40, 40), (200, 31)], ids=str)
@pytest.mark.parametrize("crop", [0.875, 0.9, 1.0])
def test_resized_and_cropped_as_torchvision(timm, shape, crop):
    transforms = pytest.importorskip("torchvision.transforms")
    image = pytest.importorskip("PIL.Image")
    pixels = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    peer = transforms.Compose(
        [
            transforms.Resize(int(np.floor(32 / crop)), transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    expected = peer(image.fromarray(pixels)).numpy().transpose(1, 2, 0)
    actual = Preprocessor(Preprocess(size=32, crop_pct=crop))(pixels)[0]
    np.testing.assert_allclose(actual, expected, atol=2e-6)


def test_long_side_and_padding():
    zero = Preprocessor({"size": 24, "resize": "long", "pad": "zero"})(IMAGE)[0]
    black = Preprocessor({"size": 24, "resize": "long", "pad": "black"})(IMAGE)[0]
    rows = 24 * 37 // 51
    inside = slice((24 - rows) // 2, (24 - rows) // 2 + rows)
    np.testing.assert_array_equal(zero[inside], black[inside])
    assert not zero[: inside.start].any()
    np.testing.assert_allclose(
        black[0, 0], -np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 20, "crop_pct": 0.8},
        {"size": (20, 30), "resize": "squash", "filter": "bilinear"},
        {"size": 24, "resize": "long", "pad": "zero"},
        {"size": 24, "resize": "long", "pad": "black", "range": (0, 255), "std": (58.0,) * 3},
        {"size": 20, "rounding": "float", "antialias": False},
    ],
    ids=str,
)
def test_the_model_is_within_one_grey_level_of_pillow(arguments):
    preprocess = Preprocess(**arguments)
    expected = Preprocessor(preprocess)(WAVE)
    model = preprocessing_model(preprocess, WAVE.shape)
    actual = np.asarray(model.predict(WAVE[None].astype("float32"), verbose=0))
    low, high = preprocess.range
    level = (high - low) / 255 / min(preprocess.std)
    assert np.max(np.abs(actual - expected)) <= 1.1 * level
    assert np.mean(np.abs(actual - expected)) <= 0.3 * level
    assert not model.trainable_weights


def test_the_model_is_saved(tmp_path):
    from dl_techniques.core import load_model, save_model

    model = preprocessing_model({"size": 20, "crop_pct": 0.8}, WAVE.shape)
    save_model(model, tmp_path / "p.keras")
    x = WAVE[None].astype("float32")
    again = load_model(tmp_path / "p.keras").predict(x, verbose=0)
    np.testing.assert_array_equal(again, model.predict(x, verbose=0))


def test_batches_lists_and_json():
    preprocess = Preprocess(size=(8, 6), crop_pct=0.9, filter="lanczos")
    assert Preprocess(**json.loads(json.dumps(preprocess.to_json()))) == preprocess
    prepare = Preprocessor(preprocess)
    one, two = prepare(IMAGE), prepare(WAVE)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(prepare([IMAGE, WAVE]), np.concatenate([one, two]))
    np.testing.assert_array_equal(prepare(np.stack([IMAGE, IMAGE]))[1:], one)


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 0},
        {"size": (1, 2, 3)},
        {"size": 8, "crop_pct": 0.0},
        {"size": 8, "resize": "wide"},
        {"size": 8, "filter": "hamming"},
        {"size": 8, "pad": "black"},
        {"size": 8, "resize": "long"},
        {"size": 8, "std": (1.0, 0.0, 1.0)},
        {"size": 8, "mean": (1.0,)},
        {"size": 8, "antialias": False},
    ],
    ids=str,
)
def test_invalid_arguments(arguments):
    with pytest.raises(ValueError, match=f"`{list(arguments)[-1]}`|`mean`|`rounding`|`pad`"):
        Preprocess(**arguments)


@pytest.mark.parametrize("image", [IMAGE.astype("float32"), IMAGE[..., 0], IMAGE[..., :2]])
def test_invalid_images(image):
    with pytest.raises(ValueError, match="uint8"):
        Preprocessor(Preprocess(size=8))([image])
