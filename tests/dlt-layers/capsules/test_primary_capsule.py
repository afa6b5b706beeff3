"""PrimaryCapsule against loops over positions in float64, and against torch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.capsules import PrimaryCapsule


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("size", "strides"), [(3, 2), ((2, 3), (1, 2)), (1, 1)], ids=["square", "oblong", "pixel"]
)
def test_capsules_are_consecutive_channels_in_row_major_order(size, strides, verify):
    x = draw(2, 7, 6, 3)
    layer = PrimaryCapsule(4, 5, kernel_size=size, strides=strides)
    layer.build(x.shape)
    kernel, bias = draw(*layer.conv.kernel.shape, seed=1), draw(20, seed=2)
    layer.conv.kernel.assign(kernel)
    layer.conv.bias.assign(bias)
    height, width = kernel.shape[:2]
    down, right = (strides, strides) if isinstance(strides, int) else strides
    capsules = []
    for row in range(0, 7 - height + 1, down):
        for column in range(0, 6 - width + 1, right):
            seen = x[:, row : row + height, column : column + width].astype("float64")
            channels = np.einsum("bijc,ijcd->bd", seen, kernel) + bias
            capsules += [channels[:, 5 * n : 5 * n + 5] for n in range(4)]
    s = np.stack(capsules, axis=1)
    square = np.sum(s**2, axis=-1, keepdims=True)
    expected = s * np.sqrt(square) / (1 + square)
    oracle = "loops over positions in float64"
    actual = ops.convert_to_numpy(layer(x))
    assert actual.shape == layer.compute_output_shape(x.shape)
    verify("dl_techniques>PrimaryCapsule", oracle, actual, expected)
    assert np.linalg.norm(actual, axis=-1).max() < 1


def test_the_sizes_of_an_image_may_be_unknown():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, PrimaryCapsule(2, 4, 3, padding="same")(inputs))
    assert model.output_shape == (None, None, 4)
    for height, width in ((5, 7), (6, 4)):
        y = model(draw(2, height, width, 3))
        assert tuple(y.shape) == (2, -(-height // 2) * -(-width // 2) * 2, 4)


def test_the_shapes_of_the_paper():
    layer = PrimaryCapsule(32, 8)
    assert layer.compute_output_shape((None, 20, 20, 256)) == (None, 1152, 8)
    layer.build((None, 20, 20, 256))
    assert layer.count_params() == 5_308_672


def test_an_image_that_turns_out_smaller_than_the_kernel_is_refused():
    layer = PrimaryCapsule(2, 4)
    layer.build((None, None, None, 3))
    with pytest.raises(ValueError, match=r"kernel_size.*\(1, 8, 12, 3\)"):
        layer(draw(1, 8, 12, 3))
    assert tuple(PrimaryCapsule(2, 4, padding="same")(draw(1, 8, 12, 3)).shape) == (1, 48, 4)


@pytest.mark.oracle
def test_equals_torch(agree):
    torch = pytest.importorskip("torch")
    conv = torch.nn.Conv2d(3, 4 * 5, 3, stride=2)

    def peer(x):
        y = conv(x.permute(0, 3, 1, 2))
        s = y.view(len(x), 4, 5, *y.shape[2:]).permute(0, 3, 4, 1, 2).reshape(len(x), -1, 5)
        length = s.norm(dim=-1, keepdim=True)
        return length * s / (1 + length**2)

    x = draw(2, 7, 8, 3)
    layer = PrimaryCapsule(4, 5, kernel_size=3, strides=2)
    layer.build(x.shape)
    pairs = [
        (layer.conv.kernel, conv.weight, lambda w: w.transpose(2, 3, 1, 0)),
        (layer.conv.bias, conv.bias, np.asarray),
    ]
    agree(layer, layer, peer, pairs, [x], oracle=f"torch composition {torch.__version__}")
