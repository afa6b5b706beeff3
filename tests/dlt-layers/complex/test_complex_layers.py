"""Complex layers against torch's complex numbers, and against NumPy's."""

from __future__ import annotations

import importlib

import keras
import numpy as np
import pytest
from keras import ops

import dl_techniques.layers as layers
from dl_techniques.core import load_model, save_model
from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers import ComplexConv2D, ComplexDense, ComplexReLU


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numbers(*shape, seed=0):
    return (draw(*shape, seed=seed) + 1j * draw(*shape, seed=seed + 100)).astype("complex64")


def randomize(layer):
    layer.set_weights([draw(*w.shape, seed=i) for i, w in enumerate(layer.weights)])


def kernel_and_bias(layer):
    kernel, bias = (
        getattr(layer, f"{name}_real").numpy() + 1j * getattr(layer, f"{name}_imag").numpy()
        if getattr(layer, f"{name}_real") is not None
        else None
        for name in ("kernel", "bias")
    )
    return kernel, bias


def compare(layer, x, theirs, verify):
    """Forward and gradients; `theirs(x, kernel, bias)` takes torch's complex tensors."""
    import torch

    layer.build(x.shape)
    randomize(layer)
    arrays = [x, *kernel_and_bias(layer)]
    tensors = [a if a is None else torch.tensor(a, requires_grad=True) for a in arrays]
    expected = theirs(*tensors)
    g = numbers(*expected.shape, seed=7)
    torch.sum((expected * torch.tensor(g).conj()).real).backward()

    def scalar(real, imaginary, g_real, g_imaginary):
        y_real, y_imaginary = layer([real, imaginary])
        return ops.sum(y_real * g_real + y_imaginary * g_imaginary)

    result = value_and_gradients(
        scalar, layer.trainable_variables, [x.real, x.imag, g.real, g.imag]
    )
    name, oracle = f"dl_techniques>{type(layer).__name__}", f"torch complex64 {torch.__version__}"
    whole = ops.convert_to_numpy(layer(x))
    assert whole.dtype == np.complex64
    expected = expected.detach().numpy()
    for part in ("real", "imag"):
        verify(name, oracle, getattr(whole, part), getattr(expected, part), tolerance=2e-5)
    pair = [ops.convert_to_numpy(part) for part in layer([x.real, x.imag])]
    np.testing.assert_allclose(pair[0] + 1j * pair[1], whole, atol=1e-5)
    slopes = [t.grad.numpy() for t in tensors if t is not None]
    slopes = [part for slope in slopes for part in (slope.real, slope.imag)]
    ours = [*result.inputs[:2], *result.variables]
    for mine, slope in zip(ours, slopes, strict=True):
        verify(name, oracle, mine, slope, what="gradient", tolerance=2e-5)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_bias": False},
        {"strides": (2, 1)},
        {"dilation_rate": (1, 2)},
        {"groups": 2},
        {"padding": "same"},
    ],
    ids=str,
)
def test_convolution_equals_torch(settings, verify):
    torch = pytest.importorskip("torch")

    def theirs(x, kernel, bias):
        same = settings.get("padding") == "same"
        y = torch.nn.functional.conv2d(
            x.permute(0, 3, 1, 2),
            kernel.permute(3, 2, 0, 1),
            bias,
            stride=settings.get("strides", 1),
            padding=1 if same else 0,
            dilation=settings.get("dilation_rate", 1),
            groups=settings.get("groups", 1),
        )
        return y.permute(0, 2, 3, 1)

    compare(ComplexConv2D(6, 3, **settings), numbers(2, 6, 7, 4), theirs, verify)


@pytest.mark.oracle
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_equals_torch(use_bias, verify):
    pytest.importorskip("torch")

    def theirs(x, kernel, bias):
        y = x @ kernel
        return y if bias is None else y + bias

    compare(ComplexDense(5, use_bias=use_bias), numbers(2, 3, 4), theirs, verify)


def modrelu(z, b=-0.5):
    return np.maximum(np.abs(z) + b, 0) * z / np.abs(z)


RECTIFIERS = {
    "crelu": lambda z: np.maximum(z.real, 0) + 1j * np.maximum(z.imag, 0),
    "modrelu": modrelu,
    "zrelu": lambda z: np.where((z.real > 0) & (z.imag > 0), z, 0),
}


@pytest.mark.parametrize("mode", RECTIFIERS)
def test_rectifiers_equal_numpy(mode, verify, differences):
    layer = ComplexReLU(mode, bias_initializer=keras.initializers.Constant(-0.5))
    z = numbers(4, 5)
    expected = RECTIFIERS[mode](z.astype("complex128"))
    name, oracle = "dl_techniques>ComplexReLU", "NumPy in complex128"
    whole = ops.convert_to_numpy(layer(z))
    for part in ("real", "imag"):
        verify(name, oracle, getattr(whole, part), getattr(expected, part))

    def exact(parts):
        y = RECTIFIERS[mode](parts[0] + 1j * parts[1])
        return np.sum(y.real + 2 * y.imag)

    result = value_and_gradients(
        lambda a, b: ops.sum(layer([a, b])[0] + 2 * layer([a, b])[1]), [], [z.real, z.imag]
    )
    slopes = differences(exact, np.stack([z.real, z.imag]))
    verify(name, oracle, np.stack(result.inputs), slopes, what="gradient of inputs")


def test_zero_has_finite_gradients():
    layer = ComplexReLU("modrelu")
    zero = np.zeros((2, 3), "float32")
    layer.build([zero.shape, zero.shape])
    result = value_and_gradients(
        lambda a, b: ops.sum(layer([a, b])[0]), layer.trainable_variables, [zero, zero]
    )
    assert all(np.isfinite(g).all() for g in (*result.inputs, *result.variables))


@pytest.mark.parametrize(("rule", "fans"), [("complex_glorot", 300), ("complex_he", 200)])
def test_initial_weights_are_rayleigh_with_uniform_phase(rule, fans):
    """Oracle: moments of the distributions, within four standard errors."""
    layer = ComplexDense(100, kernel_initializer=rule, seed=1)
    layer.build((None, 200))
    kernel, _ = kernel_and_bias(layer)
    n, s = kernel.size, 1 / np.sqrt(fans)
    power = np.abs(kernel) ** 2  # exponential with mean 2 s^2
    assert power.mean() == pytest.approx(2 * s**2, rel=4 / np.sqrt(n))
    assert np.median(np.abs(kernel)) == pytest.approx(s * np.sqrt(2 * np.log(2)), rel=0.02)
    phase = np.angle(kernel)
    assert abs(np.exp(1j * phase).mean()) < 4 / np.sqrt(n)
    assert phase.var() == pytest.approx(np.pi**2 / 3, rel=0.03)
    # Independent parts would have this correlation of their squares, too, but not of the same draw.
    again = ComplexDense(100, kernel_initializer=rule, seed=1)
    again.build((None, 200))
    np.testing.assert_array_equal(kernel_and_bias(again)[0], kernel)


def test_a_model_of_complex_layers_learns_and_survives_saving(tmp_path):
    """Oracle: y = (1 + 2i) x, which no real optimizer step on complex weights finds."""
    inputs = keras.Input((1,), dtype="complex64")
    layer = ComplexDense(1, use_bias=False, seed=3)
    y = layer(inputs)
    assert keras.backend.standardize_dtype(y.dtype) == "complex64"
    model = keras.Model(inputs, keras.layers.Concatenate()([ops.real(y), ops.imag(y)]))
    model.compile(keras.optimizers.SGD(0.2), "mse")
    x = numbers(64, 1)
    target = (1 + 2j) * x
    model.fit(x, np.concatenate([target.real, target.imag], 1), epochs=60, verbose=0)
    kernel, _ = kernel_and_bias(layer)
    np.testing.assert_allclose(kernel, [[1 + 2j]], atol=1e-3)
    expected = model.predict(x, verbose=0)
    save_model(model, tmp_path / "complex.keras")
    loaded = load_model(tmp_path / "complex.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, atol=1e-6)


def test_images_of_unknown_size():
    inputs = keras.Input((None, None, 2), dtype="complex64")
    layer = ComplexConv2D(3, 3, strides=2, padding="same", groups=1)
    model = keras.Model(inputs, ComplexReLU()(layer(inputs)))
    x = numbers(2, 5, 7, 2)
    y = ops.convert_to_numpy(model(x))
    assert y.shape == (2, 3, 4, 3)
    np.testing.assert_allclose(y, RECTIFIERS["crelu"](ops.convert_to_numpy(layer(x))), atol=1e-6)


@pytest.mark.parametrize("layer", [ComplexDense(2), ComplexReLU()])
def test_half_precision_gives_complex64(layer):
    layer = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    assert ops.convert_to_numpy(layer(numbers(2, 3))).dtype == np.complex64
    pair = layer([draw(2, 3), draw(2, 3)])
    assert [keras.backend.standardize_dtype(part.dtype) for part in pair] == ["bfloat16"] * 2


@pytest.mark.parametrize("layer", [ComplexDense(2), ComplexReLU(), ComplexConv2D(2, 1)])
def test_real_tensors_are_refused(layer):
    with pytest.raises(ValueError, match="must be a complex tensor"):
        layer(draw(1, 2, 3, 4))


def test_the_module_of_the_original_leads_to_the_components():
    module = importlib.import_module("dl_techniques.layers.complex_layers")
    assert all(getattr(module, name) is getattr(layers, name) for name in module.__all__)
