"""Maps between ranges against numpy.interp and numpy.clip."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

import dl_techniques.layers.io_preparation as io_preparation
from dl_techniques.layers import (
    RangeRescaling,
    clip_tensor,
    denormalize_tensor,
    normalize_tensor,
)

RANGES = [
    (0.0, 255.0, 0.0, 1.0),
    (-1.0, 1.0, 0.0, 255.0),
    (2.0, 5.0, 3.0, -4.0),
    (5.0, 2.0, 0.0, 1.0),
]


def array(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("ranges", RANGES)
def test_inside_the_range_it_is_interpolation(ranges, verify):
    x = np.linspace(*sorted(ranges[:2]), 17).astype("float32").reshape(1, 17)
    source, target = zip(*sorted(zip(ranges[:2], ranges[2:], strict=True)), strict=True)
    expected = np.interp(x.astype("float64"), source, target)
    actual = array(normalize_tensor(x, *ranges))
    verify("dl_techniques>normalize_tensor", "numpy.interp", actual, expected)
    verify(
        "dl_techniques>RangeRescaling", "numpy.interp", array(RangeRescaling(*ranges)(x)), expected
    )
    back = array(denormalize_tensor(actual, *ranges))
    verify("dl_techniques>denormalize_tensor", "numpy.interp", back, x)


def test_outside_it_goes_on_unless_clipped():
    x = np.array([-51.0, 0.0, 306.0], "float32")
    np.testing.assert_allclose(array(normalize_tensor(x)), [-0.2, 0.0, 1.2], rtol=1e-6)
    np.testing.assert_allclose(array(normalize_tensor(x, clip=True)), [0, 0, 1])
    falling = array(normalize_tensor(x, 0, 255, 1, -1, clip=True))
    np.testing.assert_allclose(falling, [1, 1, -1])
    y = np.array([-0.5, 0.5, 2.0], "float32")
    np.testing.assert_allclose(array(denormalize_tensor(y, clip=True)), [0, 127.5, 255])


def test_integers_become_floats():
    pixels = np.array([0, 100, 255], "uint8")
    for function in (normalize_tensor, denormalize_tensor, clip_tensor):
        assert array(function(pixels)).dtype == keras.config.floatx()
    np.testing.assert_allclose(array(normalize_tensor(pixels)), pixels / 255, rtol=1e-6)
    layer = RangeRescaling(0, 255, -1, 1)
    np.testing.assert_allclose(array(layer(pixels)), pixels / 127.5 - 1, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_clipping_equals_numpy(verify, dtype):
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(dtype)
    clipped = array(clip_tensor(ops.convert_to_tensor(x), -0.5, 0.25))
    assert clipped.dtype == dtype
    expected = np.clip(x, -0.5, 0.25)
    verify("dl_techniques>clip_tensor", "numpy.clip", clipped, expected, tolerance=0)


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (normalize_tensor, {"source_min": 1.0, "source_max": 1.0}, "source_min"),
        (normalize_tensor, {"target_max": float("nan")}, "target_max"),
        (denormalize_tensor, {"target_min": 1.0}, "target_min"),
        (clip_tensor, {"clip_min": 2.0}, "clip_min"),
        (clip_tensor, {"clip_max": "one"}, "clip_max"),
    ],
)
def test_useless_ranges_are_refused(function, arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        function(np.ones(3, "float32"), **arguments)


def test_the_module_of_the_original_leads_to_the_functions():
    assert io_preparation.clip_tensor is clip_tensor
    assert io_preparation.denormalize_tensor is denormalize_tensor
    assert io_preparation.normalize_tensor is normalize_tensor
