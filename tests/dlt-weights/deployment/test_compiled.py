"""Compiled models against the models themselves."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques import weights as W


def numbers(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def draw(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def network():
    """Convolutions, products, attention, a bias of one and of three axes, an output twice."""
    x = inputs = keras.Input((6, 6, 4), name="images")
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(8, 1, use_bias=False)(keras.layers.DepthwiseConv2D(3)(x))
    x = keras.layers.Reshape((1, 8))(x)
    x = x + keras.layers.MultiHeadAttention(2, 4)(x, x)
    y = keras.layers.Dense(3, use_bias=False)(x) + keras.layers.Dense(3)(x)
    return keras.Model({"images": inputs}, [y, keras.layers.Dropout(0.5)(x)])


def test_it_computes_what_the_model_computes_and_sees_its_weights():
    model = network()
    function = W.compiled(model, {"images": (2, 6, 6, 4)})
    for batch, step in ((2, 0.0), (3, 0.1), (2, 0.2)):
        for variable in model.weights:
            if "seed" not in variable.path:
                variable.assign(numbers(variable) + step)
        x = {"images": draw(batch, 6, 6, 4)}
        ours, theirs = function(x), model(x, training=False)
        assert isinstance(ours, list)
        for a, b in zip(map(numbers, ours), map(numbers, theirs), strict=True):
            assert np.abs(a - b).max() <= 1e-5 * max(1.0, np.abs(b).max())


def test_inputs_of_another_dtype_and_refusals():
    tokens = keras.Input((3,), dtype="int32")
    model = keras.Model(tokens, keras.layers.Embedding(7, 4)(tokens))
    function = W.compiled(model, (2, 3))
    x = np.array([[1, 2, 6], [0, 1, 1]], "int32")
    assert np.array_equal(numbers(function(x)), numbers(model(x)))
    with pytest.raises(ValueError, match="`input_shape`"):
        W.compiled(model, (None, 3))
    with pytest.raises(TypeError, match="`model`"):
        W.compiled(keras.layers.Dense(2))
    with pytest.raises(ValueError, match="built"):
        W.compiled(keras.Sequential([keras.layers.Dense(2)]))


class Plain(keras.Model):
    """A model whose `call` knows nothing of training."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(2)

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, x):
        return self.dense(x)


def test_a_model_that_takes_no_training():
    model = Plain()
    model.build((None, 3))
    x = draw(2, 3)
    for function in (W.compiled(model, (2, 3)), W.deploy(model, (None, 3))):
        assert np.allclose(numbers(function(x)), numbers(model(x)), atol=1e-6)
