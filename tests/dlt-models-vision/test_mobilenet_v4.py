"""Oracles: MobileNetV4 of timm with random weights, by its files."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from dl_techniques.layers.conv.universal_inverted_bottleneck import rounded_to_eights
from dl_techniques.models.mobilenet_v4 import MobileNetV4
from dl_techniques.models.mobilenet_v4.stages import parse_stage

# Trainable parameters, buffers without counters, and how many counters.
COUNTS = {
    "conv_small": (3_774_024, 25_134),
    "conv_medium": (9_715_512, 67_981),
    "conv_large": (32_590_864, 149_654),
    "hybrid_medium": (11_074_648, 75_936),
    "hybrid_large": (37_764_624, 164_521),
}
# A few blocks of each kind, in the notation of both.
OURS = [["C(3,2,8)"], ["F(8)"], ["U(3,5,2,4,16)", "M(2,8,2)", "U(0,0,1,2)"], ["M(2,8,1)"]]
OURS += [["U(5,0,1,3)", "C(1,1,24)"]]
THEIRS = [
    ["cn_r1_k3_s2_e1_c8"],
    ["er_r1_k3_s2_e4_c8"],
    ["uir_r1_a3_k5_s2_e4_c16", "mqa_r1_k3_h2_s1_v2_d8_c16", "uir_r1_a0_k0_s1_e2_c16"],
    ["mqa_r1_k3_h2_s1_d8_c16"],
    ["uir_r1_a5_k0_s1_e3_c16", "cn_r1_k1_s1_c24"],
]


def parameters(variant, classes):
    """Trainable numbers and statistics (with one counter a norm), block by block."""
    size = MobileNetV4.settings_of(variant)
    scaled = size.layer_scale_init is not None
    kernels, norms, count = 27 * size.stem, size.stem, 1
    c = size.stem
    for kind, n in (block for stage in size.stages for block in parse_stage(stage)):
        if kind == "C":
            kernels, norms, count, c = kernels + n[0] ** 2 * c * n[2], norms + n[2], count + 1, n[2]
        elif kind == "F":
            kernels += 36 * c * c + 4 * c * n[0]
            norms, count, c = norms + 4 * c + n[0], count + 2, n[0]
        elif kind == "M":
            h, d, r = n
            kernels += 2 * c * h * d + 2 * c * d + scaled * c + (18 * c if r > 1 else 0)
            norms, count = norms + c + (2 * c if r > 1 else 0), count + 1 + 2 * (r > 1)
        else:
            a, b, _, e, *out = n
            new = out[0] if out else c
            wide = rounded_to_eights(c * e)
            kernels += a * a * c + c * wide + b * b * wide + wide * new + scaled * new
            norms += (c if a else 0) + wide + (wide if b else 0) + new
            count, c = count + 2 + bool(a) + bool(b), new
    kernels, norms, count = kernels + c * 1280, norms + 1280, count + 1
    return kernels + 2 * norms + 1281 * classes, 2 * norms + count


@pytest.mark.parametrize("variant", COUNTS)
def test_parameters_of_variants(variant):
    assert parameters(variant, 1000) == COUNTS[variant]


def test_the_smallest_variant_has_the_parameters_of_the_formula():
    model = MobileNetV4("conv_small", input_shape=(32, 32, 3))
    assert sum(math.prod(v.shape) for v in model.trainable_weights) == COUNTS["conv_small"][0]
    assert len(model.features().outputs) == 5
    assert [m.shape[-1] for m in model.features().outputs] == [32, 32, 64, 96, 960]


@pytest.fixture
def peer(timm, randomized):
    from timm.models._efficientnet_builder import decode_arch_def

    def make(activation="relu"):
        import torch

        model = timm.models.mobilenetv3.MobileNetV3(
            decode_arch_def(THEIRS),
            num_classes=5,
            num_features=12,
            stem_size=8,
            head_bias=False,
            head_norm=True,
            act_layer=torch.nn.ReLU if activation == "relu" else torch.nn.GELU,
            layer_scale_init_value=0.1,
        )
        return randomized(model)

    return make


def small(**changes):
    config = {"stages": OURS, "stem_filters": 8, "head_filters": 12, "layer_scale_init": 0.1}
    return MobileNetV4(**{**config, "classes": 5, "input_shape": (64, 64, 3), **changes})


@pytest.mark.oracle
def test_timm(peer, written, answer, agrees, returns, gradients, images):
    import torch

    theirs = peer()
    path = written(theirs)
    model = small(weights=path)
    agrees("MobileNetV4", "timm", model(images(64)), answer(theirs, images(64)))
    returns(model, path, "timm")
    x = torch.tensor(images(64).transpose(0, 3, 1, 2))
    (theirs(x) ** 2).sum().backward()
    variables = [model.get_layer("stem").conv.kernel, model.get_layer("head_norm").gamma]
    kernel, gamma = gradients(model, images(64), variables)
    expected = theirs.conv_stem.weight.grad.permute(2, 3, 1, 0)
    agrees("MobileNetV4", "timm", kernel, expected, "gradient of the first kernel")
    agrees("MobileNetV4", "timm", gamma, theirs.norm_head.weight.grad, "gradient of the last norm")


@pytest.mark.oracle
def test_odd_sizes_and_gelu(peer, written, answer, agrees, images):
    theirs = peer("gelu")
    model = small(weights=written(theirs), input_shape=(None, None, 3), activation="gelu")
    x = images(45, 51)
    agrees("MobileNetV4", "timm", model(x), answer(theirs, x), "odd size, GELU")


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("variant", COUNTS)
def test_variants_have_the_shapes_of_timm(variant, timm):
    """All tensors of a narrow network of each variant find their place."""
    theirs = timm.models.mobilenetv3._gen_mobilenet_v4(
        f"mobilenetv4_{variant}", channel_multiplier=0.125, num_classes=2
    )
    state = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    model = MobileNetV4(variant, width=0.125, classes=2, input_shape=(32, 32, 3))
    assert model.load_pretrained(state).fits


def test_trains_under_mixed_precision(images):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy(before)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(images(64), np.array([1, 2]), verbose=0)
    assert history.history["loss"][0] < 1e3
