"""Layers under pure policies of 64 and 16 bits: the output has the dtype that was asked for."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core import registry
from dl_techniques.layers import GatedMLP, MixedSequentialBlock, SaturatedMish

LAYERS = [
    entry.id
    for kind in ("layer", "activation")
    for entry in registry.list(kind=kind, distribution="dlt-layers")
]
BIASES = ("use_bias", "qkv_bias", "use_output_bias")


def tensor(spec, dtype):
    rng = np.random.default_rng(0)
    if spec.dtype.startswith(("int", "bool")) or spec.values != "random":
        array = rng.integers(0, 2, spec.shape).astype(spec.dtype)
    else:
        array = rng.uniform(0, 1, spec.shape) if spec.low == 0 else rng.normal(size=spec.shape)
    floating = array.dtype.kind == "f"
    return ops.convert_to_tensor(array.astype(dtype) if floating else array)


def outputs(layer, example, dtype):
    specs = example.inputs
    if isinstance(specs, dict):
        return layer(**{name: tensor(s, dtype) for name, s in specs.items()}, **example.call)
    if isinstance(specs, list):
        return layer([tensor(s, dtype) for s in specs], **example.call)
    if isinstance(specs, tuple):
        return layer(*(tensor(s, dtype) for s in specs), **example.call)
    return layer(tensor(specs, dtype), **example.call)


def without_biases(cls):
    """Return the settings that make a last projection a plain product."""
    parameters = [
        name for base in cls.__mro__[:-1] for name in inspect.signature(base.__init__).parameters
    ]
    return {name: False for name in BIASES if name in parameters}


def dtypes(example, dtype, **settings):
    layer = example.create(dtype=dtype, **settings)
    result = keras.tree.flatten(outputs(layer, example, dtype))
    found = {keras.backend.standardize_dtype(x.dtype) for x in result}
    return {name for name in found if "float" in name}


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="float64 needs a switch of JAX")
@pytest.mark.parametrize("identifier", LAYERS)
def test_float64_layers_return_float64(identifier):
    cls = registry.load(identifier)
    for example in cls.examples():
        for settings in ({}, without_biases(cls)):
            found = dtypes(example, "float64", **settings)
            assert found <= {"float64"}, f"{example.name} {settings}: {found}"


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="no float16 kernels for the CPU")
@pytest.mark.parametrize("identifier", LAYERS)
def test_float16_layers_can_be_built_and_return_float16(identifier):
    # The first example stands for all: each costs JAX the compilation of every operation.
    assert dtypes(next(registry.load(identifier).examples()), "float16") <= {"float16"}


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="float64 needs a switch of JAX")
def test_a_saturated_activation_keeps_the_digits_of_float64():
    x = np.linspace(-4, 4, 33)
    clipped = np.minimum(x, 1.5)
    expected = clipped * np.tanh(np.log1p(np.exp(clipped)))
    actual = ops.convert_to_numpy(SaturatedMish(1.5, dtype="float64")(ops.convert_to_tensor(x)))
    np.testing.assert_allclose(actual, expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_recurrent_block_starts_orthogonal_in_half_precision(dtype):
    """Oracle: rows of the recurrent kernel are orthonormal but for rounding."""
    block = MixedSequentialBlock(4, num_heads=2, ff_dim=6, lstm_units=3, dtype=dtype)
    block.build((None, 5, 4))
    kernel = ops.convert_to_numpy(ops.cast(block.lstm.cell.recurrent_kernel, "float32"))
    assert kernel.shape == (3, 12)
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(3), atol=2e-2)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="no float16 kernels for the CPU")
@pytest.mark.parametrize("dtype", ["float16", "mixed_float16"])
def test_gates_times_values_beyond_float16(dtype):
    """Oracle: float32, where products are 1,000 times as large as outputs of some hundreds."""
    x = np.random.default_rng(0).normal(size=(2, 5, 8)) * 100
    settings = {"hidden_dim": 8, "tiny_attention": 4}
    exact, half = GatedMLP(**settings), GatedMLP(**settings, dtype=dtype)
    for layer in (exact, half):
        layer.build(x.shape)
    rng = np.random.default_rng(1)
    scales = [1e-3 if w is exact.output_dense.kernel else 1.0 for w in exact.weights]
    weights = [s * rng.normal(size=w.shape) for s, w in zip(scales, exact.weights, strict=True)]
    exact.set_weights(weights)
    half.set_weights(weights)
    expected = ops.convert_to_numpy(exact(x.astype("float16").astype("float32")))
    assert 1e2 < np.abs(expected).max() < 6e4
    actual = ops.convert_to_numpy(half(ops.convert_to_tensor(x, "float16")))
    assert actual.dtype == np.float16
    np.testing.assert_allclose(actual, expected, atol=0.03 * np.abs(expected).max())
