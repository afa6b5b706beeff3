"""LayerScale against numpy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers import LayerScale, LearnableMultiplier


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (2, 3, 2, 5)])
@pytest.mark.parametrize("kind", ["CHANNEL", "GLOBAL"])
def test_product_and_gradient_equal_numpy(shape, kind):
    rng = np.random.default_rng(0)
    layer = LayerScale(kind)
    layer.build((None, *shape[1:]))
    gamma = rng.normal(size=layer.gamma.shape).astype("float32")
    assert gamma.shape == ((5,) if kind == "CHANNEL" else ())
    layer.gamma.assign(gamma)
    x, g = (rng.normal(size=shape).astype("float32") for _ in range(2))
    result = value_and_gradients(lambda x, g: ops.sum(layer(x) * g), [layer.gamma], [x, g])
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), x * gamma, rtol=1e-6)
    np.testing.assert_allclose(result.inputs[0], g * gamma, rtol=1e-6)
    axes = tuple(range(len(shape) - 1)) if kind == "CHANNEL" else None
    np.testing.assert_allclose(result.variables[0], np.sum(x * g, axis=axes), rtol=1e-4, atol=1e-5)


def test_both_names_have_one_default():
    assert LearnableMultiplier is LayerScale
    layer = LayerScale()
    layer.build((None, 3))
    np.testing.assert_allclose(ops.convert_to_numpy(layer.gamma), 1e-5)


def test_a_small_gain_keeps_its_digits_in_half_precision():
    layer = LayerScale(initializer=keras.initializers.Constant(1.23456e-6), dtype="mixed_float16")
    y = ops.convert_to_numpy(layer(np.full((1, 2), 6e4, "float16")))
    np.testing.assert_allclose(y, 6e4 * 1.23456e-6, rtol=1e-3)
