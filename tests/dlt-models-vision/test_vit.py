"""Oracles: vision transformers of timm and transformers with random weights, by their files."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from dl_techniques.models.vit import ViT, ViTHMLP, ViTTiny

SMALL = {"dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8}
COUNTS = {
    "tiny": (5_717_416, 5_524_416),
    "small": (22_050_664, 21_665_664),
    "base": (86_567_656, 85_798_656),
    "large": (304_326_632, 303_301_632),
    "huge": (632_045_800, 630_764_800),
}


def small(**changes):
    return ViT("tiny", **{**SMALL, "input_shape": (32, 32, 3), "classes": 5, **changes})


def parameters(dim, depth, patch, grid, classes):
    """Patches, tokens, blocks of 12 D^2 + 13 D, the last norm, the classifier."""
    block = 12 * dim**2 + 13 * dim
    embedding = 3 * patch**2 * dim + dim + dim + (1 + grid**2) * dim
    return embedding + depth * block + 2 * dim + (classes and (dim + 1) * classes)


@pytest.mark.parametrize("variant", COUNTS)
def test_parameters_of_variants(variant):
    size = ViT.settings_of(variant)
    shape = (size.dim, size.depth, size.patch_size, 224 // size.patch_size)
    assert (parameters(*shape, 1000), parameters(*shape, 0)) == COUNTS[variant]


def test_the_model_has_the_parameters_of_the_formula():
    assert small().count_params() == parameters(16, 2, 8, 4, 5)
    assert small(include_top=False).count_params() == parameters(16, 2, 8, 4, 0)


@pytest.fixture
def peer(timm, randomized):
    made = timm.models.vision_transformer.VisionTransformer

    def make(**settings):
        shape = {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 5}
        return randomized(made(32, **{**shape, **settings}))

    return make


@pytest.mark.oracle
def test_timm(peer, written, answer, agrees, returns, images):
    theirs = peer()
    path = written(theirs)
    model = small(weights=path)
    assert model.weights_info.report.layout == "timm"
    agrees("ViT", "timm", model(images()), answer(theirs, images()))
    returns(model, path, "timm")
    features = theirs.forward_intermediates(
        _torch(images()), output_fmt="NCHW", intermediates_only=True
    )
    ours = model.features([0, 1])(images())
    for mine, other in zip(ours, features, strict=True):
        agrees("ViT", "timm", mine, _array(other), "features")


@pytest.mark.oracle
def test_images_of_another_size(timm, peer, written, answer, agrees, images):
    theirs = peer(init_values=0.1, global_pool="avg", num_classes=0)
    path = written(theirs)
    model = small(
        weights=path,
        input_shape=(48, 24, 3),
        include_top=False,
        pooling="avg",
        layer_scale_init=1.0,
    )
    timm.layers.set_fused_attn(False)
    theirs.set_input_size((48, 24))
    agrees("ViT", "timm", model(images(48, 24)), answer(theirs, images(48, 24)), "other size")


@pytest.mark.oracle
def test_transformers(timm, randomized, written, answer, agrees, returns, images):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        image_size=32,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=5,
    )
    theirs = randomized(transformers.ViTForImageClassification(config))
    path = written(theirs)
    model = small(weights=str(path))
    agrees("ViT", "transformers", model(images()), answer(theirs, images()))
    returns(model, path, "hf")


@pytest.mark.oracle
def test_files_of_google(peer, tmp_path, answer, agrees, images):
    """timm reads these files, too."""
    rng = np.random.default_rng(0)

    def made(**shapes):
        return {
            name: rng.normal(size=shape).astype("float32") * 0.3 for name, shape in shapes.items()
        }

    dense = {"kernel": (16, 2, 8), "bias": (2, 8)}
    block = {f"MultiHeadDotProductAttention_1/{n}": dense for n in ("query", "key", "value")}
    block["MultiHeadDotProductAttention_1/out"] = {"kernel": (2, 8, 16), "bias": (16,)}
    block |= {f"LayerNorm_{i}": {"scale": (16,), "bias": (16,)} for i in (0, 2)}
    block["MlpBlock_3/Dense_0"] = {"kernel": (16, 64), "bias": (64,)}
    block["MlpBlock_3/Dense_1"] = {"kernel": (64, 16), "bias": (16,)}
    parts = {f"Transformer/encoderblock_{i}/{name}": p for i in (0, 1) for name, p in block.items()}
    parts["Transformer/encoder_norm"] = {"scale": (16,), "bias": (16,)}
    parts["embedding"] = {"kernel": (8, 8, 3, 16), "bias": (16,)}
    parts["head"] = {"kernel": (16, 5), "bias": (5,)}
    arrays = {
        f"{prefix}/{name}": array
        for prefix, p in parts.items()
        for name, array in made(**p).items()
    }
    arrays |= made(cls=(1, 1, 16), **{"Transformer/posembed_input/pos_embedding": (1, 17, 16)})
    np.savez(tmp_path / "google.npz", **arrays)
    theirs = peer()
    theirs.load_pretrained(str(tmp_path / "google.npz"))
    model = ViT.from_weights(tmp_path / "google.npz", variant="tiny", dim=16, depth=2, num_heads=2)
    assert model.weights_info.report.layout == "jax"
    agrees("ViT", "timm", model(images()), answer(theirs, images()), "from a file of Google")


def _torch(x):
    import torch

    return torch.tensor(x.transpose(0, 3, 1, 2))


def _array(x):
    return x.detach().permute(0, 2, 3, 1).numpy()


@pytest.mark.oracle
def test_gradients(peer, written, agrees, images, gradients):
    """With respect to the weights of the first layer and to a norm, through all blocks."""
    theirs = peer()
    model = small(weights=written(theirs))
    (theirs(_torch(images())) ** 2).sum().backward()
    variables = [model.get_layer("patches").projection.kernel, model.get_layer("norm").gamma]
    kernel, gamma = gradients(model, images(), variables)
    expected = theirs.patch_embed.proj.weight.grad.permute(2, 3, 1, 0)
    agrees("ViT", "timm", kernel, expected, "gradient of the first kernel")
    agrees("ViT", "timm", gamma, theirs.norm.weight.grad, "gradient of the last norm")


def test_constructor():
    model = ViTTiny(input_shape=(32, 32, 3), classes=3, depth=1)
    assert (model.variant, model.output_shape) == ("tiny", (None, 3))
    assert ViTTiny.__name__ == "ViTTiny"


HMLP_COUNTS = {"tiny": 5_619_016, "small": 21_946_024, "base": 86_727_016}


def test_parameters_of_the_hierarchical_stem():
    for variant, count in HMLP_COUNTS.items():
        d, depth = ViT.settings_of(variant)[:2]
        q = d // 4
        stem = 48 * q + q + 2 * q + 4 * q * q + q + 2 * q + 4 * q * d + d + 2 * d
        plain = 768 * d + d
        assert parameters(d, depth, 16, 14, 1000) - plain + stem == count
    model = ViTHMLP("tiny", dim=16, depth=1, num_heads=2, classes=5, input_shape=(32, 32, 3))
    stem = 48 * 4 + 4 + 8 + 64 + 4 + 8 + 4 * 64 + 16 + 32
    whole = parameters(16, 1, 16, 2, 5) - (768 * 16 + 16) + stem
    assert sum(math.prod(v.shape) for v in model.trainable_weights) == whole


@pytest.mark.oracle
def test_hierarchical_stem_within_timm(peer, written, answer, agrees, returns, images, randomized):
    import torch

    theirs = peer(patch_size=16)
    first, second, third = (
        torch.nn.Conv2d(3, 4, 4, 4),
        torch.nn.Conv2d(4, 4, 2, 2),
        torch.nn.Conv2d(4, 16, 2, 2),
    )
    norms = [torch.nn.BatchNorm2d(n) for n in (4, 4, 16)]
    act = torch.nn.GELU()
    layers = [first, norms[0], act, second, norms[1], act, third, norms[2]]
    theirs.patch_embed.proj = torch.nn.Sequential(*layers)
    path = written(randomized(theirs))
    model = ViTHMLP.from_weights(path, variant="tiny", dim=16, depth=2, num_heads=2)
    assert (model.patch_size, model.inputs[0].shape) == (16, (None, 32, 32, 3))
    agrees("ViTHMLP", "timm", model(images()), answer(theirs, images()))
    returns(model, path, "timm")


def test_patches_do_not_see_each_other():
    """Property: changing one patch changes one token of the stem, and no other."""
    model = ViTHMLP("tiny", dim=16, depth=1, num_heads=2, classes=5, input_shape=(32, 32, 3))
    stem = model.get_layer("patches")
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    changed = x.copy()
    changed[:, 20, 3] += 1.0
    before, after = (np.asarray(keras.ops.convert_to_numpy(stem(t))) for t in (x, changed))
    assert np.flatnonzero((before != after).any(axis=-1)[0]).tolist() == [2]
