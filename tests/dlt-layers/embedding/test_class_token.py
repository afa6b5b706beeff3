"""ClassToken. Oracle: closed form."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from dl_techniques.layers import ClassToken


def test_the_tokens_come_first_for_every_sample(verify):
    layer = ClassToken(2, initializer="random_normal")
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
    tokens = np.broadcast_to(ops.convert_to_numpy(layer(x))[0, :2], (3, 2, 5))
    np.testing.assert_array_equal(tokens[0], ops.convert_to_numpy(layer.tokens))
    expected = np.concatenate([tokens, x], axis=1)
    verify("dl_techniques>ClassToken", "closed form", layer(x), expected)


def test_a_mask_is_extended():
    layer = ClassToken(2)
    mask = ops.convert_to_tensor([[True, False, True]])
    extended = layer.compute_mask(ops.ones((1, 3, 4)), mask)
    assert ops.convert_to_numpy(extended).tolist() == [[True, True, True, False, True]]
    assert layer.compute_mask(ops.ones((1, 3, 4))) is None


def test_unknown_tokens():
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, ClassToken()(inputs))
    assert model.output_shape == (None, None, 3)
    assert model.predict(np.ones((2, 4, 3)), verbose=0).shape == (2, 5, 3)
