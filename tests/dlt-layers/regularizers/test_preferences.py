"""Penalties on entries that are not among few values, against float64 closed forms."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.regularizers import BinaryPreferenceRegularizer, TriStatePreferenceRegularizer

GRID = np.linspace(-1.5, 2, 29).astype("float32")


def binary(w, scale=1.0):
    return (1 - 4 * (w / scale - 0.5) ** 2) ** 2


def binary_slope(w, scale=1.0):
    u = w / scale
    return 32 * u * (1 - u) * (1 - 2 * u) / scale


def ternary(w):
    return 27 / 4 * w**2 * (1 - w**2) ** 2


def ternary_slope(w):
    return 27 / 2 * w * (1 - w**2) * (1 - 3 * w**2)


CASES = [
    (BinaryPreferenceRegularizer, {}, binary, binary_slope),
    (
        BinaryPreferenceRegularizer,
        {"scale": 0.5},
        lambda w: binary(w, 0.5),
        lambda w: binary_slope(w, 0.5),
    ),
    (TriStatePreferenceRegularizer, {}, ternary, ternary_slope),
]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("cls", "settings", "cost", "slope"), CASES)
def test_values_and_slopes_equal_the_closed_form(cls, settings, cost, slope, reduction, verify):
    penalty = cls(0.7, reduction=reduction, **settings)
    result = value_and_gradients(penalty, [], [GRID])
    w = GRID.astype("float64")
    factor = 0.7 / (len(w) if reduction == "mean" else 1)
    name = f"dl_techniques>{cls.__name__}"
    verify(name, "closed form in float64", result.value, factor * cost(w).sum())
    slopes = factor * slope(w)
    verify(name, "closed form in float64", result.inputs[0], slopes, what="gradient of the weight")


@pytest.mark.parametrize(
    ("penalty", "wells", "barriers"),
    [
        (BinaryPreferenceRegularizer(), [0, 1], [0.5]),
        (BinaryPreferenceRegularizer(scale=2.0), [0, 2], [1]),
        (TriStatePreferenceRegularizer(), [-1, 0, 1], [-(3**-0.5), 3**-0.5]),
    ],
)
def test_wells_are_zero_and_barriers_one(penalty, wells, barriers):
    assert [float(penalty(np.float32(w))) for w in wells] == [0.0] * len(wells)
    assert [float(penalty(np.float32(w))) for w in barriers] == pytest.approx([1.0] * len(barriers))


def test_half_precision_is_computed_in_float32():
    w = ops.convert_to_tensor(np.array([7.0, -7.0]), "float16")
    assert float(TriStatePreferenceRegularizer()(w)) == pytest.approx(ternary(7.0), rel=1e-6)


def test_training_with_it_sorts_weights_into_the_wells():
    """Property: without another loss each weight falls into the well of its own side."""
    layer = keras.layers.Dense(
        4, use_bias=False, kernel_regularizer=TriStatePreferenceRegularizer()
    )
    layer.build((None, 3))
    start = np.random.default_rng(0).uniform(-1, 1, (3, 4)).astype("float32")
    layer.kernel.assign(start)
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(np.zeros((1, 3)), np.zeros((1, 4)), epochs=300, verbose=0)
    expected = np.where(np.abs(start) > 3**-0.5, np.sign(start), 0)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.kernel), expected, atol=0.01)
