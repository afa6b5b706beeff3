"""ConvUNext: counts of parameters, a peer of plain torch, padding, scales, supervision."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.models.convunext import (
    ConvUNext,
    create_convunext_variant,
    create_inference_model_from_training_model,
)
from dl_techniques.models.convunext.convunext import reduced
from dl_techniques.models.vision import CropLike, PadToMultiple

# Second version, first version; three channels to three.
COUNTS = {
    "tiny": (2_054_336, 2_050_112),
    "small": (4_561_440, 4_555_104),
    "base": (46_194_816, 46_168_320),
    "large": (135_219_264, 135_166_272),
    "xlarge": (1_182_772_480, 1_182_592_000),
}
SMALL = {"initial_filters": 4, "blocks_per_level": 1, "depth": 2, "kernel_size": 3}


def parameters(depth, filters, blocks, hidden, kernel=7, channels=3):
    """`hidden` numbers of the normalization or gain of a block, in channels."""
    c = [filters * 2**i for i in range(depth + 1)]

    def block(n):
        return kernel**2 * n + n + 8 * n * n + hidden * n

    total = kernel**2 * channels * filters + filters + blocks * block(c[depth]) + filters * channels
    for i in range(depth):
        step = c[i] + 4 * c[i] * c[i + 1] + (c[i + 1] + c[i]) * c[i]
        total += 2 * blocks * block(c[i]) + step
    return total


def test_parameters_of_variants():
    for variant, counts in COUNTS.items():
        size = ConvUNext.settings[variant]
        assert tuple(parameters(*size[:3], hidden) for hidden in (4, 1)) == counts
    model = ConvUNext(**SMALL, enable_deep_supervision=True)
    assert model.count_params() == parameters(2, 4, 1, 4, kernel=3) + 8 * 3
    v1 = ConvUNext(**SMALL, convnext_version="v1", max_filters=8)
    assert v1.get_layer("middle_block0").filters == 8


@pytest.mark.oracle
def test_plain_torch(agrees, gradients, images):
    """The definition once more: torch, channels first, with padding and cropping of its own."""
    import torch
    from torch.nn import functional as f

    model = ConvUNext(**SMALL, stem_skip=True, enable_deep_supervision=True)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.3, variable.shape))
    w = {v.path: torch.tensor(keras.ops.convert_to_numpy(v)) for v in model.weights}
    stem = w["stem/kernel"].requires_grad_()

    def conv(x, name, **settings):
        kernel = stem if name == "stem" else w[f"{name}/kernel"]
        return f.conv2d(x, kernel.permute(3, 2, 0, 1), **settings)

    def norm(x, gamma):
        x = x.permute(0, 2, 3, 1)
        return f.layer_norm(x, x.shape[-1:], gamma, None, 1e-6).permute(0, 3, 1, 2)

    def block(x, name):
        parts = [p for path, p in w.items() if path.startswith(f"{name}/")]
        depthwise, gamma, expand, project, grn = parts
        y = f.conv2d(x, depthwise.permute(2, 3, 0, 1), padding=1, groups=x.shape[1])
        y = f.gelu(norm(y, gamma).permute(0, 2, 3, 1) @ expand)
        g = y.pow(2).sum((1, 2), keepdim=True).sqrt()
        y = grn * y * (g / (g.mean(-1, keepdim=True) + 1e-6)) + y
        return x + (y @ project).permute(0, 3, 1, 2)

    x = images(11, 14)
    t = f.pad(torch.tensor(x.transpose(0, 3, 1, 2)), (0, 2, 0, 1), mode="reflect")
    t = first = norm(conv(t, "stem", padding=1), w["stem_norm/gamma"])
    skips, levels = [], []
    for i in range(2):
        skips.append(block(t, f"encoder{i}_block0"))
        t = conv(norm(skips[-1], w[f"down{i}_norm/gamma"]), f"down{i}", stride=2)
    t = block(t, "middle_block0")
    for i in (1, 0):
        t = f.interpolate(t, scale_factor=2, mode="bilinear", align_corners=False)
        t = block(conv(torch.cat([t, skips[i]], 1), f"fuse{i}"), f"decoder{i}_block0")
        levels.append(t)
    ours, ours_below = model(x)
    expected = conv(levels[0], "head1")[:, :, :6, :7].permute(0, 2, 3, 1)
    agrees("ConvUNext", "torch", ours_below, expected.detach(), "output of the level below")
    expected = conv(levels[1] + first, "head0")[:, :, :11, :14].permute(0, 2, 3, 1)
    agrees("ConvUNext", "torch", ours, expected.detach())
    (expected**2).sum().backward()
    alone = create_inference_model_from_training_model(model)
    (kernel,) = gradients(alone, x, [model.get_layer("stem").kernel])
    agrees("ConvUNext", "torch", kernel, stem.grad, "gradient of the first kernel")


def test_padding():
    """Oracle: NumPy's padding; one layer of unknown sizes serves several."""
    for border in ("reflect", "edge"):
        inputs = keras.Input((None, None, 1))
        padded = PadToMultiple(8, border)(inputs)
        model = keras.Model(inputs, [padded, CropLike()([padded, inputs])])
        for height, width in ((5, 9), (8, 3)):
            x = np.random.default_rng(0).random((1, height, width, 1), "float32")
            whole, back = model.predict(x, verbose=0)
            # Three columns are too few to mirror five more.
            modes = ["edge" if -n % 8 >= n else border for n in (height, width)]
            expected = np.pad(x, ((0, 0), (0, -height % 8), (0, 0), (0, 0)), modes[0])
            expected = np.pad(expected, ((0, 0), (0, 0), (0, -width % 8), (0, 0)), modes[1])
            np.testing.assert_array_equal(whole, expected)
            np.testing.assert_array_equal(back, x)


def means(x, side):
    """The mean of each square, of what there is of it at the border."""
    batch, height, width, channels = x.shape
    rows, columns = -(-height // side), -(-width // side)
    wide = np.full((batch, rows * side, columns * side, channels), np.nan, "float32")
    wide[:, :height, :width] = x
    return np.nanmean(wide.reshape(batch, rows, side, columns, side, channels), axis=(2, 4))


def test_a_single_target_is_reduced():
    """Oracle: NumPy. Numbers are averaged; labels are thinned out, so that they stay labels."""
    x = np.random.default_rng(0).random((2, 9, 6, 1), "float32")
    whole, half, quarter = (keras.ops.convert_to_numpy(y) for y in reduced(x, [0, 0, 0]))
    np.testing.assert_array_equal(whole, x)
    np.testing.assert_allclose(half, means(x, 2), rtol=1e-6)
    np.testing.assert_allclose(quarter, means(x, 4), rtol=1e-6)
    labels = np.arange(2 * 5 * 6).reshape(2, 5, 6).astype("int32")
    whole, half = (keras.ops.convert_to_numpy(y) for y in reduced(labels, [0, 0]))
    np.testing.assert_array_equal(whole, labels)
    np.testing.assert_array_equal(half, labels[:, ::2, ::2])


def test_scales():
    """Property: degree one with the option, degree zero without."""
    x = np.random.default_rng(0).normal(size=(2, 9, 6, 3)).astype("float32")

    def output(model, factor):
        return keras.ops.convert_to_numpy(model(factor * x))

    small = {**SMALL, "depth": 1}
    plain, scaled = ConvUNext(**small), ConvUNext(**small, scale_equivariant=True)
    np.testing.assert_allclose(output(plain, 8.0), output(plain, 2.0), atol=1e-4)
    reference = output(scaled, 1.0)
    for factor in (1e-3, 0.5, 100.0):
        gap = np.linalg.norm(output(scaled, factor) / factor - reference)
        assert gap < 1e-5 * np.linalg.norm(reference)


def test_deep_supervision_of_one_target():
    x = np.random.default_rng(0).normal(size=(4, 9, 6, 3)).astype("float32")
    model = create_convunext_variant("tiny", enable_deep_supervision=True, **SMALL)
    assert [tuple(y.shape) for y in model(x)] == [(4, 9, 6, 3), (4, 5, 3, 3)]
    model.compile("sgd", ["mse", "mse"], loss_weights=[1.0, 0.5], metrics=[["mae"], ["mae"]])
    found = model.evaluate(x, x, verbose=0, return_dict=True)
    first, second = (keras.ops.convert_to_numpy(y) for y in model(x))
    target = means(x, 2)
    expected = ((first - x) ** 2).mean() + 0.5 * ((second - target) ** 2).mean()
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["crop1_mae"], abs(second - target).mean(), rtol=1e-5)
    losses = model.fit(x, x, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    alone = create_inference_model_from_training_model(model)
    ours, theirs = (keras.ops.convert_to_numpy(y) for y in (alone(x), model(x)[0]))
    np.testing.assert_array_equal(ours, theirs)
