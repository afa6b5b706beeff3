"""ConvolutionalKAN against scipy's B-splines, the patch-wise sum, and the convkan package."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.b_spline import b_spline_bases
from dl_techniques.layers.conv.convolutional_kan import ConvolutionalKAN

ID = "dl_techniques>ConvolutionalKAN"


def cox_de_boor(x, grid_size, k, low, high):
    """All bases in float64, by the recursion on half-open intervals."""
    h = (high - low) / grid_size
    knots = low + h * np.arange(-k, grid_size + k + 1)
    x = np.asarray(x, "float64")[..., None]
    bases = ((x >= knots[:-1]) & (x < knots[1:])).astype("float64")
    for p in range(1, k + 1):
        left = (x - knots[: -p - 1]) / (p * h) * bases[..., :-1]
        right = (knots[p + 1 :] - x) / (p * h) * bases[..., 1:]
        bases = left + right
    return bases


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_bases_equal_the_recursion_and_sum_to_one(k):
    x = np.linspace(-3, 3, 97).astype("float32")
    bases = ops.convert_to_numpy(b_spline_bases(ops.convert_to_tensor(x), 4, k, -1.5, 1.0))
    np.testing.assert_allclose(bases, cox_de_boor(x, 4, k, -1.5, 1.0), atol=2e-6)
    inside = (x >= -1.5) & (x <= 1.0)
    np.testing.assert_allclose(bases[inside].sum(-1), 1, atol=2e-6)
    beyond = (x < -1.5 - k * 0.625) | (x > 1.0 + k * 0.625)
    assert not bases[beyond].any()


CASES = {
    "plain": ({}, (5, 6, 2)),
    "same_strided_even": ({"padding": "same", "strides": 2}, (6, 4, 2)),
    "same_oblong": ({"kernel_size": (2, 3), "padding": "same"}, (5, 4, 2)),
    "dilated": ({"dilation_rate": 2, "padding": "same"}, (5, 6, 2)),
    "grouped": ({"groups": 2, "spline_order": 2, "grid_size": 3}, (4, 5, 4)),
    "no_base": ({"use_base": False, "grid_range": (-2.0, 0.5)}, (4, 3, 2)),
    "no_scale": ({"use_scale": False, "base_activation": "cos"}, (4, 3, 2)),
}


def patchwise(layer, x):
    """The definition: every tap's function of the padded image, added up."""
    x = np.asarray(x, "float64")
    weights = {v.name: ops.convert_to_numpy(v).astype("float64") for v in layer.weights}
    splines = weights["spline_kernel"]
    if "spline_scale" in weights:
        splines = splines * weights["spline_scale"][:, :, :, None]
    rate, step = layer.dilation_rate, layer.strides
    spans = [rate * (size - 1) for size in layer.kernel_size]
    if layer.padding == "same":
        x = np.pad(x, [(0, 0), *[(s // 2, s - s // 2) for s in spans], (0, 0)])
    height, width = ((x.shape[i + 1] - spans[i] - 1) // step + 1 for i in range(2))
    y = np.zeros((len(x), height, width, layer.filters))
    per_group = x.shape[-1] // layer.groups
    outs = layer.filters // layer.groups
    for o in range(layer.filters):
        first = o // outs * per_group
        for i in range(layer.kernel_size[0]):
            for j in range(layer.kernel_size[1]):
                rows = slice(rate * i, rate * i + step * (height - 1) + 1, step)
                columns = slice(rate * j, rate * j + step * (width - 1) + 1, step)
                seen = x[:, rows, columns, first : first + per_group]
                bases = cox_de_boor(seen, layer.grid_size, layer.spline_order, *layer.grid_range)
                y[..., o] += np.einsum("bhwcg,cg->bhw", bases, splines[i, j, :, :, o])
                if "base_kernel" in weights:
                    base = ops.convert_to_numpy(layer.activation_layer(seen)).astype("float64")
                    y[..., o] += base @ weights["base_kernel"][i, j, :, o]
    return y


@pytest.mark.parametrize("case", CASES)
def test_one_convolution_equals_the_patchwise_sum(case, verify):
    config, image = CASES[case]
    config = {"filters": 4, "kernel_size": 3, **config}
    if config.get("base_activation") == "cos":
        config["base_activation"] = keras.layers.Lambda(ops.cos)
    rng = np.random.default_rng(0)
    x = (1.5 * rng.normal(size=(2, *image))).astype("float32")
    layer = ConvolutionalKAN(**config)
    layer.build(x.shape)
    # Unit-normal coefficients: at the start the splines are too small to show a fault.
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    y = ops.convert_to_numpy(layer(x))
    assert y.shape == layer.compute_output_shape(x.shape)
    verify(ID, "sum over taps in float64", y, patchwise(layer, x), tolerance=2e-5)


def test_padding_is_of_the_image_not_of_the_functions():
    layer = ConvolutionalKAN(1, 3, padding="same", use_base=False)
    layer.build((1, 1, 1, 1))
    layer.set_weights([np.ones(w.shape) for w in layer.weights])
    # All bases with coefficient one add up to one, at each of nine pixels, eight of them padding.
    np.testing.assert_allclose(ops.convert_to_numpy(layer(np.zeros((1, 1, 1, 1)))), 9, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_close(dtype):
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 2)).astype("float32")
    full, half = ConvolutionalKAN(3, 3), ConvolutionalKAN(3, 3, dtype=dtype)
    full.build(x.shape)
    half.build(x.shape)
    half.set_weights(full.get_weights())
    difference = ops.cast(half(x), "float32") - full(x)
    assert np.max(np.abs(ops.convert_to_numpy(difference))) < 0.03


@pytest.mark.oracle
@pytest.mark.parametrize("k", [2, 3, 5])
def test_bases_equal_scipy(k, verify):
    interpolate = pytest.importorskip("scipy.interpolate")
    import scipy

    x = np.linspace(-0.999, 0.999, 41).astype("float32")
    knots = -1 + 0.5 * np.arange(-k, 4 + k + 1)
    expected = interpolate.BSpline(knots, np.eye(4 + k), k)(x.astype("float64"))
    ours = b_spline_bases(ops.convert_to_tensor(x), 4, k, -1.0, 1.0)
    verify(ID, f"scipy BSpline {scipy.__version__}, bases", ops.convert_to_numpy(ours), expected)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("settings", "image"),
    [
        ({}, (5, 6)),
        ({"stride": 2, "padding": 1}, (6, 7)),
        ({"dilation": 2, "padding": 2}, (6, 5)),
        ({"groups": 2, "padding": 1}, (5, 4)),
    ],
)
def test_equals_convkan_with_gradients(settings, image, verify):
    torch = pytest.importorskip("torch")
    convkan = pytest.importorskip("convkan")
    from importlib.metadata import version

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *image, 4)).astype("float32")
    groups = settings.get("groups", 1)
    peer = convkan.ConvKAN(4, 6, 3, **settings)
    for parameter in peer.parameters():
        parameter.data = torch.randn(parameter.shape)
    theirs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    y_peer = peer(theirs).permute(0, 2, 3, 1)
    g = rng.normal(size=y_peer.shape).astype("float32")
    (y_peer * torch.tensor(g)).sum().backward()

    layer = ConvolutionalKAN(
        6,
        3,
        settings.get("stride", 1),
        "same" if settings.get("padding") else "valid",
        settings.get("dilation", 1),
        groups,
    )
    layer.build(x.shape)

    def mapped(name, *rest, gradient=False):
        weight = getattr(peer.kan_layer, name)
        weight = (weight.grad if gradient else weight).detach().numpy()
        weight = weight.reshape(groups, 6 // groups, 4 // groups, 3, 3, *rest)
        weight = weight.transpose(3, 4, 2, *([5] if rest else []), 0, 1)
        return weight.reshape(*weight.shape[:-2], 6)

    names = [("base_weight",), ("spline_weight", 8), ("spline_scaler",)]
    layer.set_weights([mapped(*name) for name in names])
    ours = value_and_gradients(
        lambda x, g: ops.sum(layer(x) * g), layer.trainable_variables, [x, g]
    )
    oracle = f"convkan {version('convkan')}"
    verify(ID, oracle, ops.convert_to_numpy(layer(x)), y_peer, tolerance=3e-5)
    by_x = theirs.grad.permute(0, 2, 3, 1)
    verify(ID, oracle, ours.inputs[0], by_x, what="gradient of inputs", tolerance=3e-5)
    for gradient, name in zip(ours.variables, names, strict=True):
        expected = mapped(*name, gradient=True)
        verify(ID, oracle, gradient, expected, what=f"gradient of {name[0]}", tolerance=3e-5)
