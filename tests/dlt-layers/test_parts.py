"""Parts that users choose: any kind of part, built with its owner, in its owner's dtype."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers import (
    ChannelAttention,
    ConvBlock,
    ConvolutionalKAN,
    VisionTransformerLayer,
    xSiLU,
)
from dl_techniques.layers.interpolation import resize_bilinear

IMAGE = np.ones((1, 3, 4, 4), "float32")


@pytest.mark.parametrize("cls", [ChannelAttention, lambda **how: ConvBlock(4, **how)])
def test_a_learned_activation_is_built_with_its_owner(cls):
    layer = cls(activation="dl_techniques>xSiLU")
    layer.build(IMAGE.shape)
    built = len(layer.weights)
    layer(IMAGE)
    assert len(layer.weights) == built
    assert [w.name for w in layer.weights].count("alpha") == 1


@pytest.mark.parametrize(
    "layer",
    [
        ConvBlock(4, activation=xSiLU(), dtype="mixed_bfloat16"),
        ConvolutionalKAN(4, 1, base_activation=xSiLU(), dtype="mixed_bfloat16"),
    ],
)
def test_a_part_with_a_policy_of_its_own_does_not_change_the_dtype(layer):
    """Oracle: the owner's compute dtype."""
    assert keras.backend.standardize_dtype(layer(IMAGE).dtype) == "bfloat16"


def test_a_feed_forward_block_may_be_a_function():
    """Oracle: the block is x + MHA(norm(x)), then x + f(norm(x))."""
    layer = VisionTransformerLayer(2, ffn=ops.tanh)
    x = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(1, 3, 8)), "float32")
    layer.build(x.shape)
    y = x + layer.attention(layer.norms[0](x))
    expected = y + ops.tanh(layer.norms[1](y))
    actual = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(actual, ops.convert_to_numpy(expected), atol=1e-5)


def test_bilinear_resizing_of_unknown_sizes():
    """Oracle: the same image with known sizes (TensorFlow divides unknown sizes in float64)."""

    class Double(keras.layers.Layer):
        def call(self, x):
            _, height, width, _ = ops.shape(x)
            return resize_bilinear(x, (2 * height, 2 * width))

        def compute_output_shape(self, shape):
            return (shape[0], None, None, shape[3])

    inputs = keras.Input((None, None, 1))
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 1)).astype("float32")
    y = keras.Model(inputs, Double()(inputs)).predict(x, verbose=0)
    known = resize_bilinear(ops.convert_to_tensor(x), (4, 6))
    np.testing.assert_allclose(y, ops.convert_to_numpy(known), atol=1e-6)


@pytest.mark.parametrize("size", [(3, 4), (6, 9), (2, 2), (1, 5)], ids=str)
@pytest.mark.parametrize("align_corners", [False, True])
def test_bilinear_resizing_equals_torch(size, align_corners):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    expected = torch.nn.functional.interpolate(
        torch.tensor(x).permute(0, 3, 1, 2), size, mode="bilinear", align_corners=align_corners
    )
    actual = resize_bilinear(ops.convert_to_tensor(x), size, align_corners=align_corners)
    expected = expected.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, atol=1e-5)
