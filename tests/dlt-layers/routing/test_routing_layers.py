"""Layers that route gradients and samples, against NumPy."""

from __future__ import annotations

import importlib

import keras
import numpy as np
import pytest
from keras import ops

import dl_techniques.layers as layers
from dl_techniques.core import load_model, save_model
from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers import BatchConditionalOutputLayer, GradientRoutingLayer


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


SIGNAL = draw(3, 4)
MASKS = {
    "binary": np.random.default_rng(1).integers(0, 2, (3, 4)).astype("float32"),
    "fractions": np.random.default_rng(2).uniform(size=(3, 4)).astype("float32"),
    "channels": np.array([0, 1, 1, 0], "float32"),
}


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("training", [True, False, None])
def test_the_signal_passes_and_its_gradient_where_the_mask_lets_it(verify, kind, invert, training):
    mask, g = MASKS[kind], draw(3, 4, seed=5)
    layer = GradientRoutingLayer(invert=invert)
    actual = ops.convert_to_numpy(layer([SIGNAL, mask], training=training))
    same = np.testing.assert_array_equal if kind != "fractions" else np.testing.assert_allclose
    same(actual, SIGNAL)
    result = value_and_gradients(
        lambda x, m, g: ops.sum(layer([x, m], training=training) * g), [], [SIGNAL, mask, g]
    )
    passing = (mask if invert else 1 - mask) if training else 1
    name, oracle = "dl_techniques>GradientRoutingLayer", "its definition in NumPy"
    verify(name, oracle, actual, SIGNAL, tolerance=1e-6)
    verify(name, oracle, result.inputs[0], g * passing, what="gradient of inputs", tolerance=1e-6)
    assert result.inputs[1] is None or not result.inputs[1].any()


def test_infinities_and_integer_masks_pass():
    signal = np.array([[np.inf, -np.inf, np.inf, 1.0]], "float32")
    mask = np.array([[1, 0, 1, 0]], "int32")
    actual = GradientRoutingLayer()([signal, mask], training=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(actual), signal)


def test_only_the_part_that_is_let_through_learns():
    """Property: weights whose outputs are masked keep their values in `fit`."""
    inputs, mask = keras.Input((3,)), keras.Input((4,))
    dense = keras.layers.Dense(4, use_bias=False)
    model = keras.Model([inputs, mask], GradientRoutingLayer()([dense(inputs), mask]))
    model.compile("sgd", "mse")
    before = ops.convert_to_numpy(dense.kernel).copy()
    x, m = draw(8, 3), np.tile(np.array([[1, 0, 1, 0]], "float32"), (8, 1))
    model.fit([x, m], draw(8, 4, seed=3), verbose=0)
    moved = np.any(ops.convert_to_numpy(dense.kernel) != before, axis=0)
    assert moved.tolist() == [False, True, False, True]


@pytest.mark.parametrize("shape", [(4, 4), (3, 6, 6, 3), (5, 2), (3,)])
def test_whole_samples_are_chosen(shape, verify):
    truth, inference = draw(*shape), draw(*shape, seed=1)
    truth[0] = 0
    if truth.ndim > 1:
        truth[1] = 0
        truth[1].flat[-1] = 1e-30  # a single entry that is not zero
    absent = np.array([not row.any() for row in truth])
    expected = np.where(absent.reshape(-1, *[1] * (truth.ndim - 1)), inference, truth)
    layer = BatchConditionalOutputLayer()
    name, oracle = "dl_techniques>BatchConditionalOutputLayer", "its definition in NumPy"
    actual = ops.convert_to_numpy(layer([truth, inference]))
    verify(name, oracle, actual, expected, tolerance=0)
    g = draw(*shape, seed=2)
    result = value_and_gradients(
        lambda t, i, g: ops.sum(layer([t, i]) * g), [], [truth, inference, g]
    )
    chosen = np.broadcast_to(absent.reshape(-1, *[1] * (truth.ndim - 1)), shape)
    slopes = np.where(chosen, 0, g), np.where(chosen, g, 0)
    for ours, slope in zip(result.inputs, slopes, strict=False):
        verify(name, oracle, ours, slope, what="gradient of inputs", tolerance=1e-6)


def test_nan_counts_as_an_entry_and_minus_zero_does_not():
    truth = np.array([[np.nan, 0.0], [-0.0, 0.0]], "float32")
    inference = np.ones((2, 2), "float32")
    actual = ops.convert_to_numpy(BatchConditionalOutputLayer()([truth, inference]))
    np.testing.assert_array_equal(actual, [[np.nan, 0.0], [1.0, 1.0]])


def test_both_survive_saving(tmp_path):
    first, second = keras.Input((4,)), keras.Input((4,))
    routed = layers.SelectiveGradientMask()([first, second])
    model = keras.Model([first, second], layers.ConditionalOutput()([routed, second]))
    x = [draw(2, 4), draw(2, 4, seed=1)]
    expected = model.predict(x, verbose=0)
    save_model(model, tmp_path / "routing.keras")
    loaded = load_model(tmp_path / "routing.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("batch_conditional_layer", "BatchConditionalOutputLayer"),
        ("conditional_output", "ConditionalOutput"),
        ("gradient_routing_layer", "GradientRoutingLayer"),
        ("selective_gradient_layer", "SelectiveGradientMask"),
    ],
)
def test_modules_of_the_original_lead_to_the_components(module, name):
    path = importlib.import_module(f"dl_techniques.layers.{module}")
    assert getattr(path, name) is getattr(layers, name)
