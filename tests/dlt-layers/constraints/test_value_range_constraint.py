"""ValueRangeConstraint against numpy.clip, bit by bit."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.constraints import ValueRangeConstraint


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("ends", [(-0.3, 0.7), (0.1, None), (0, 0), (-1, 2)])
def test_equals_numpy_and_keeps_the_dtype(verify, ends, dtype):
    w = np.random.default_rng(0).normal(size=(50, 3)).astype(dtype)
    constrained = ops.convert_to_numpy(ValueRangeConstraint(*ends)(ops.convert_to_tensor(w)))
    expected = np.clip(w, *[None if end is None else np.asarray(end, dtype) for end in ends])
    assert constrained.dtype == dtype
    verify("dl_techniques>ValueRangeConstraint", "numpy.clip", constrained, expected, tolerance=0)


def test_weights_stay_in_range_in_training():
    layer = keras.layers.Dense(3, kernel_constraint=ValueRangeConstraint(-0.1, 0.1))
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(8, 4)), 5 * rng.normal(size=(8, 3)), epochs=2, verbose=0)
    kernel = ops.convert_to_numpy(layer.kernel)
    assert np.abs(kernel).max() == np.float32(0.1)
