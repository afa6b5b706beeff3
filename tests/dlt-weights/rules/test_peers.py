"""Oracles: vision transformers of timm and transformers with random weights, by their files."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques import weights as W

pytest.importorskip("dl_techniques.layers")

from dl_techniques.layers import (
    ClassToken,
    PatchEmbedding,
    PositionalEmbedding,
    VisionTransformerLayer,
)

SIDE, PATCH, WIDTH, DEPTH, HEADS = 32, 8, 16, 2, 2
PARTS = ("prefix_embeddings", "embeddings")


def network(*, classes=None, scale=None, interpolation="bicubic_antialias", grid=4, side=SIDE):
    x = inputs = keras.Input((side, side, 3))
    x = ClassToken(name="cls")(PatchEmbedding(PATCH, WIDTH, name="patches")(x))
    position = PositionalEmbedding(
        grid_size=(grid, grid), prefix_tokens=1, interpolation=interpolation, name="positions"
    )
    x = position(x)
    for i in range(DEPTH):
        x = VisionTransformerLayer(HEADS, layer_scale_init=scale, name=f"block{i}")(x)
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    if classes:
        x = keras.layers.Dense(classes, name="head")(x[:, 0])
    return keras.Model(inputs, x)


def blocks(prefix, names):
    """The rules of a block: names of the projections, norms and dense layers in the file."""
    own = {
        "out": "attention.output_projection",
        "norm1": "norms.0",
        "norm2": "norms.1",
        "fc1": "ffn_layer.hidden",
        "fc2": "ffn_layer.output_dense",
    }
    for name, key in names.items():
        code = W.NORM if name.startswith("norm") else W.LINEAR
        yield W.Rule(f"{prefix}.{key}", f"block{{i}}.{own[name]}", code)


THREE = ("query_projection", "key_projection", "value_projection")
TIMM = W.Layout(
    "timm",
    (
        W.Rule("cls_token", "cls.tokens", W.COPY),
        W.Rule("pos_embed", "positions", W.Positions("antialias", parts=PARTS)),
        W.Rule("patch_embed.proj", "patches.projection", W.CONV),
        W.Rule("blocks.{i}.attn.qkv", "block{i}.attention", W.SplitThree(THREE)),
        *blocks(
            "blocks.{i}",
            {
                "out": "attn.proj",
                "norm1": "norm1",
                "norm2": "norm2",
                "fc1": "mlp.fc1",
                "fc2": "mlp.fc2",
            },
        ),
        W.Rule("norm", "norm", W.NORM),
        W.Rule("head", "head", W.LINEAR),
    ),
)
_HF = "encoder.layer.{i}"
DINOV2 = W.Layout(
    "hf",
    (
        W.Rule("embeddings.cls_token", "cls.tokens", W.COPY),
        W.Rule("embeddings.position_embeddings", "positions", W.Positions("plain", parts=PARTS)),
        W.Rule("embeddings.patch_embeddings.projection", "patches.projection", W.CONV),
        *(
            W.Rule(
                f"{_HF}.attention.attention.{name}",
                f"block{{i}}.attention.{name}_projection",
                W.LINEAR,
            )
            for name in ("query", "key", "value")
        ),
        *blocks(
            _HF,
            {
                "out": "attention.output.dense",
                "norm1": "norm1",
                "norm2": "norm2",
                "fc1": "mlp.fc1",
                "fc2": "mlp.fc2",
            },
        ),
        W.Rule(f"{_HF}.layer_scale1.lambda1", "block{i}.scales.0.gamma", W.COPY),
        W.Rule(f"{_HF}.layer_scale2.lambda1", "block{i}.scales.1.gamma", W.COPY),
        W.Rule("layernorm", "norm", W.NORM),
    ),
    ignore=("embeddings.mask_token",),
)


def randomize(torch, peer):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_(std=0.3)
    return peer.eval()


def image(side=SIDE):
    return np.random.default_rng(0).normal(size=(2, side, side, 3)).astype("float32")


def close(ours, theirs):
    ours = keras.ops.convert_to_numpy(ours)
    assert np.max(np.abs(ours - theirs)) <= 1e-5 * np.max(np.abs(theirs))


def round_trip(model, path, layout, tmp_path):
    W.export(model, tmp_path / "back.safetensors", layout, like=path)
    back, source = W.open(tmp_path / "back.safetensors"), W.open(path)
    assert list(back) == list(source)
    assert {n: back[n].tobytes() for n in back} == {n: source[n].tobytes() for n in source}


@pytest.mark.oracle
@pytest.mark.parametrize("side", [SIDE, 48])
def test_timm(timm, tmp_path, side):
    import torch
    from safetensors.torch import save_file

    settings = {"patch_size": PATCH, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS}
    made = timm.models.vision_transformer.VisionTransformer
    peer = randomize(torch, made(SIDE, num_classes=5, **settings))
    save_file(peer.state_dict(), tmp_path / "model.safetensors")
    model = network(classes=5, grid=side // PATCH, side=side)
    report = W.load(model, tmp_path / "model.safetensors", TIMM)
    assert report.fits
    if side != SIDE:
        timm.layers.set_fused_attn(False)
        peer.set_input_size((side, side))
    x = image(side)
    with torch.no_grad():
        expected = peer(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    close(model(x, training=False), expected)
    if side == SIDE:
        round_trip(model, tmp_path / "model.safetensors", TIMM, tmp_path)


@pytest.mark.oracle
def test_transformers(timm, tmp_path):
    import torch

    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(
        image_size=SIDE,
        patch_size=PATCH,
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
    )
    peer = randomize(torch, transformers.Dinov2Model(config))
    peer.save_pretrained(tmp_path)
    model = network(scale=1.0, interpolation="bicubic_plain", side=48)
    path = tmp_path / "model.safetensors"
    assert W.load(model, path, DINOV2).ignored == ["embeddings.mask_token"]
    x = image(48)
    with torch.no_grad():
        expected = peer(torch.tensor(x.transpose(0, 3, 1, 2))).last_hidden_state.numpy()
    close(model(x, training=False), expected)
    round_trip(model, path, DINOV2, tmp_path)
