"""SquashLayer against its closed form in float64."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.capsules import SquashLayer


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def squashed(s, axis):
    s = np.asarray(s, "float64")
    square = np.sum(s**2, axis=axis, keepdims=True)
    return square / (1 + square) * s / np.sqrt(square)


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), (-2, -1)])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_any_axes_equal_the_closed_form(axis, scale, verify):
    s = scale * draw(3, 4, 5, 6)
    v = SquashLayer(axis=axis)(s)
    name, oracle = "dl_techniques>SquashLayer", "closed form in float64"
    verify(name, oracle, ops.convert_to_numpy(v), squashed(s, axis), tolerance=1e-6)


def test_the_gradient_equals_differences_in_float64(verify, differences):
    s, g = draw(3, 4), draw(3, 4, seed=1)
    ours = value_and_gradients(lambda s, g: ops.sum(SquashLayer()(s) * g), [], [s, g]).inputs[0]
    theirs = differences(lambda s: float((squashed(s, -1) * g).sum()), s)
    name, oracle = "dl_techniques>SquashLayer", "central differences in float64"
    verify(name, oracle, ours, theirs, what="gradient of inputs", tolerance=1e-6)


def test_lengths_are_the_share_of_the_square_and_directions_stay():
    s = draw(50, 5) * np.geomspace(0.05, 100, 50)[:, None].astype("float32")
    v = ops.convert_to_numpy(SquashLayer()(s)).astype("float64")
    before, after = (np.linalg.norm(x.astype("float64"), axis=-1) for x in (s, v))
    np.testing.assert_allclose(after, before**2 / (1 + before**2), rtol=1e-4)
    assert after.max() < 1
    np.testing.assert_allclose(v / after[:, None], s / before[:, None], atol=1e-6)


def test_short_capsules_are_not_shortened_further():
    s = np.full((1, 1), 0.01, "float32")
    v = ops.convert_to_numpy(SquashLayer()(s))
    assert v.item() == pytest.approx(1e-4, rel=1e-3)


def test_zero_stays_zero_with_a_finite_gradient():
    zeros = np.zeros((2, 3), "float32")
    layer = SquashLayer()
    result = value_and_gradients(lambda s: ops.sum(layer(s)), [], [zeros])
    assert result.value == 0
    assert np.array_equal(result.inputs[0], zeros)


def test_float16_of_large_scale_is_squashed():
    s = (300 * draw(4, 8)).astype("float16")
    v = ops.convert_to_numpy(SquashLayer(dtype="float16")(s))
    assert v.dtype == np.float16
    np.testing.assert_allclose(v, squashed(s, -1), atol=1e-3)


def test_masked_positions_do_not_count_in_a_length():
    s = draw(2, 4, 3)
    mask = np.array([[True, True, True, False], [True, False, True, True]])
    v = ops.convert_to_numpy(SquashLayer(axis=1)(s, mask=mask))
    shown = np.where(mask[..., None], s, 0)
    np.testing.assert_allclose(np.where(mask[..., None], v, 0), squashed(shown, 1), atol=1e-6)
