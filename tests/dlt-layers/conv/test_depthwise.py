"""Depthwise convolution against a literal loop over taps, and against torch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients, whole_call
from dl_techniques.layers.conv import depthwise
from dl_techniques.layers.conv.depthwise import DepthwiseConvolution

ID = "dl_techniques>DepthwiseConvolution"
CASES = [
    # kernel, strides, dilation rate, padding, height and width
    ((3, 3), 1, 1, "symmetric", (5, 7)),
    ((7, 7), 1, 1, "symmetric", (6, 5)),
    ((7, 7), 1, 1, "symmetric", (1, 5)),
    ((3, 3), 2, 1, "symmetric", (8, 6)),
    ((5, 5), 2, 1, "symmetric", (7, 9)),
    ((5, 3), 3, 1, "symmetric", (10, 7)),
    ((3, 3), 1, 2, "symmetric", (7, 6)),
    ((2, 4), 1, 1, "symmetric", (5, 6)),
    ((3, 2), 1, 2, "valid", (7, 6)),
    ((4, 4), 4, 1, "valid", (8, 11)),
    ((11, 11), 1, 1, "symmetric", (5, 4)),
]


def closed_form(x, kernel, g, strides, rate, padding):
    """The output, and the gradients by x and kernel of sum(output * g), tap by tap."""
    x, kernel = np.asarray(x, "float64"), np.asarray(kernel, "float64")
    spans = [rate * (size - 1) for size in kernel.shape[:2]]
    zeros = [(s // 2, s - s // 2) if padding == "symmetric" else (0, 0) for s in spans]
    padded = np.pad(x, [(0, 0), *zeros, (0, 0)])
    height, width = ((padded.shape[i + 1] - spans[i] - 1) // strides + 1 for i in range(2))
    y = np.zeros((len(x), height, width, x.shape[-1]))
    by_padded, by_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            rows = slice(rate * i, rate * i + strides * (height - 1) + 1, strides)
            columns = slice(rate * j, rate * j + strides * (width - 1) + 1, strides)
            y += padded[:, rows, columns] * kernel[i, j, :, 0]
            if g is not None:
                by_padded[:, rows, columns] += g * kernel[i, j, :, 0]
                by_kernel[i, j, :, 0] = np.sum(padded[:, rows, columns] * g, axis=(0, 1, 2))
    inside = [slice(before, padded.shape[i + 1] - after) for i, (before, after) in enumerate(zeros)]
    return y, by_padded[:, inside[0], inside[1]], by_kernel


@pytest.mark.parametrize(("size", "strides", "rate", "padding", "image"), CASES)
def test_equals_the_loop_over_taps_with_gradients(size, strides, rate, padding, image, verify):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *image, 3)).astype("float32")
    layer = DepthwiseConvolution(size, strides, rate, padding)
    layer.build(x.shape)
    kernel = rng.normal(size=(*size, 3, 1)).astype("float32")
    bias = rng.normal(size=3).astype("float32")
    layer.set_weights([kernel, bias])
    y = whole_call(layer)(x)
    assert tuple(y.shape) == layer.compute_output_shape(x.shape)
    g = rng.normal(size=y.shape).astype("float32")
    expected, by_x, by_kernel = closed_form(x, kernel, g, strides, rate, padding)
    ours = value_and_gradients(
        lambda x, g: ops.sum(layer(x) * g), layer.trainable_variables, [x, g]
    )
    oracle = "sum over taps in float64"
    verify(ID, oracle, ops.convert_to_numpy(y), expected + bias)
    verify(ID, oracle, ours.inputs[0], by_x, what="gradient of inputs")
    verify(ID, oracle, ours.variables[0], by_kernel, what="gradient of the kernel")
    verify(ID, oracle, ours.variables[1], g.sum((0, 1, 2)), what="gradient of the bias")


def test_symmetric_padding_differs_from_keras_on_even_images():
    x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    ours = DepthwiseConvolution(3, 2, kernel_initializer="ones", use_bias=False)(x)
    keras_same = keras.layers.DepthwiseConv2D(
        3, 2, "same", depthwise_initializer="ones", use_bias=False
    )(x)
    assert np.max(np.abs(ops.convert_to_numpy(ours - keras_same))) > 2


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_bfloat16"])
def test_half_precision_keeps_its_dtype_and_value(dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 6, 5, 4)).astype("float32")
    layer = DepthwiseConvolution(5, dtype=dtype)
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    expected, _, _ = closed_form(
        x, ops.convert_to_numpy(ops.cast(layer.kernel, "float32")), None, 1, 1, "symmetric"
    )
    np.testing.assert_allclose(ops.convert_to_numpy(ops.cast(y, "float32")), expected, atol=0.05)


def test_unknown_height_and_width():
    inputs = keras.Input((None, None, 2))
    outputs = DepthwiseConvolution(3, strides=2)(inputs)
    assert outputs.shape == (None, None, None, 2)
    model = keras.Model(inputs, outputs)
    assert model.predict(np.zeros((1, 7, 4, 2)), verbose=0).shape == (1, 4, 2, 2)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the fast form is for XLA on the CPU")
def test_the_fast_form_is_used_on_jax_and_can_be_differentiated_twice():
    import jax
    import jax.numpy as jnp

    assert depthwise._xla_on_cpu()
    x, w = jnp.ones((1, 3, 3, 1)), jnp.full((3, 3, 1, 1), 0.5)

    def squares(w):
        zeros = ((1, 1), (1, 1))
        return jnp.sum(depthwise.depthwise_conv(x, w, 1, zeros, 1) ** 2)

    assert "conv_general" not in str(jax.make_jaxpr(squares)(w))
    # sum((A w)^2) has the constant Hessian 2 A'A, so it is homogeneous of degree two.
    gradient = jax.grad(squares)
    directional = jax.grad(lambda w: jnp.vdot(gradient(w), w))(w)
    np.testing.assert_allclose(directional, 2 * gradient(w), rtol=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("kernel", "strides", "rate", "image"),
    [(7, 1, 1, (9, 5)), (3, 2, 1, (8, 6)), (5, 1, 2, (7, 6))],
)
def test_equals_torch_with_mapped_weights(kernel, strides, rate, image, verify):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *image, 6)).astype("float32")
    peer = torch.nn.Conv2d(6, 6, kernel, strides, rate * (kernel // 2), rate, groups=6)
    layer = DepthwiseConvolution(kernel, strides, rate)
    layer.build(x.shape)
    weight = peer.weight.detach().numpy().reshape(6, 1, kernel, kernel).transpose(2, 3, 0, 1)
    layer.set_weights([weight, peer.bias.detach().numpy()])
    y_peer = peer(torch.tensor(x.transpose(0, 3, 1, 2))).permute(0, 2, 3, 1)
    verify(ID, f"torch.nn.Conv2d {torch.__version__}", ops.convert_to_numpy(layer(x)), y_peer)


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("size", [(3, 3), (5, 2), (4, 4)], ids=str)
@pytest.mark.parametrize("image", [(6, 8), (7, 5), (2, 1)], ids=str)
def test_same_padding_is_keras(strides, size, image, verify):
    layer = DepthwiseConvolution(size, strides, padding="same")
    peer = keras.layers.DepthwiseConv2D(size, strides, padding="same")
    x = np.random.default_rng(0).normal(size=(2, *image, 3)).astype("float32")
    layer.build(x.shape)
    peer.build(x.shape)
    peer.set_weights(layer.get_weights())
    oracle = f"keras.layers.DepthwiseConv2D {keras.__version__}"
    verify(ID, oracle, ops.convert_to_numpy(layer(x)), ops.convert_to_numpy(peer(x)))
    assert layer.compute_output_shape(x.shape) == tuple(layer(x).shape)
    inputs = keras.Input((None, None, 3))
    if keras.backend.backend() != "jax":  # which has no unknown sizes
        unknown = keras.Model(inputs, layer(inputs)).predict(x, verbose=0)
        np.testing.assert_allclose(unknown, ops.convert_to_numpy(peer(x)), atol=1e-5)
