"""StochasticDepth by its distribution: whole samples, two values, the right share."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers import StochasticDepth


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_whole_samples_are_dropped_at_the_rate(rate):
    layer = StochasticDepth(rate, seed=3)
    n = 4000
    y = ops.convert_to_numpy(layer(np.ones((n, 3, 2), "float32"), training=True))
    assert (y == y[:, :1, :1]).all()
    values = np.unique(y)
    np.testing.assert_allclose(values, [0, 1 / (1 - rate)], rtol=1e-6)
    kept = np.mean(y[:, 0, 0] > 0)
    assert abs(kept - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / n)


def test_calls_differ_and_a_seed_repeats_the_sequence():
    x = np.ones((64, 2), "float32")
    one, two = StochasticDepth(0.5, seed=7), StochasticDepth(0.5, seed=7)
    first = [ops.convert_to_numpy(one(x, training=True)) for _ in range(2)]
    second = [ops.convert_to_numpy(two(x, training=True)) for _ in range(2)]
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(first, second)


def test_inference_and_rate_zero_return_the_input_itself():
    x = ops.ones((4, 2))
    assert StochasticDepth(0.9)(x) is x
    np.testing.assert_array_equal(
        ops.convert_to_numpy(StochasticDepth(0.0)(x, training=True)), np.ones((4, 2))
    )


def test_rate_one_gives_zeros_and_zero_gradients():
    layer = StochasticDepth(1.0)
    x = np.array([[np.inf, 1.0], [np.nan, 2.0]], "float32")
    result = value_and_gradients(lambda x: ops.sum(layer(x, training=True)), [], [x])
    assert result.value == 0
    np.testing.assert_array_equal(result.inputs[0], np.zeros((2, 2)))


def test_an_infinity_in_a_dropped_sample_leaves_no_trace():
    layer = StochasticDepth(0.5, seed=1)
    x = np.full((256, 2), np.inf, "float32")
    y = ops.convert_to_numpy(layer(x, training=True))
    assert set(np.unique(y)) == {0.0, np.inf}
