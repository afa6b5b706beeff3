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


def network(
    *,
    classes=None,
    scale=None,
    interpolation="bicubic_antialias",
    grid=4,
    side=SIDE,
    clip=False,
):
    epsilon = 1e-5 if clip else 1e-6
    x = inputs = keras.Input((side, side, 3))
    x = PatchEmbedding(PATCH, WIDTH, use_bias=not clip, name="patches")(x)
    x = ClassToken(name="cls")(x)
    position = PositionalEmbedding(
        grid_size=(grid, grid), prefix_tokens=1, interpolation=interpolation, name="positions"
    )
    x = position(x)
    if clip:
        x = keras.layers.LayerNormalization(epsilon=epsilon, name="first_norm")(x)
    for i in range(DEPTH):
        x = VisionTransformerLayer(
            HEADS, layer_scale_init=scale, norm_epsilon=epsilon, name=f"block{i}"
        )(x)
    x = keras.layers.LayerNormalization(epsilon=epsilon, name="norm")(x)
    if classes:
        x = keras.layers.Dense(classes, use_bias=not clip, name="head")(x[:, 0])
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
IN_PROJ = W.SplitThree(THREE, ("in_proj_weight", "in_proj_bias"))
_TORCHVISION = "encoder.layers.encoder_layer_{i}"
TORCHVISION = W.Layout(
    "torchvision",
    (
        W.Rule("class_token", "cls.tokens", W.COPY),
        W.Rule("encoder.pos_embedding", "positions", W.Positions("antialias", parts=PARTS)),
        W.Rule("conv_proj", "patches.projection", W.CONV),
        W.Rule(f"{_TORCHVISION}.self_attention", "block{i}.attention", IN_PROJ),
        *blocks(
            _TORCHVISION,
            {
                "out": "self_attention.out_proj",
                "norm1": "ln_1",
                "norm2": "ln_2",
                "fc1": "mlp.0",
                "fc2": "mlp.3",
            },
        ),
        W.Rule("encoder.ln", "norm", W.NORM),
        W.Rule("heads.head", "head", W.LINEAR),
    ),
)
_OPEN_CLIP = "visual.transformer.resblocks.{i}"
OPEN_CLIP = W.Layout(
    "openclip",
    (
        W.Rule("visual.class_embedding", "cls.tokens", W.COPY),
        W.Rule("visual.positional_embedding", "positions", W.Positions("plain", parts=PARTS)),
        W.Rule("visual.conv1", "patches.projection", W.CONV),
        W.Rule("visual.ln_pre", "first_norm", W.NORM),
        W.Rule(f"{_OPEN_CLIP}.attn", "block{i}.attention", IN_PROJ),
        *blocks(
            _OPEN_CLIP,
            {
                "out": "attn.out_proj",
                "norm1": "ln_1",
                "norm2": "ln_2",
                "fc1": "mlp.c_fc",
                "fc2": "mlp.c_proj",
            },
        ),
        W.Rule("visual.ln_post", "norm", W.NORM),
        W.Rule("visual.proj", "head.kernel", W.COPY),
    ),
    # The tower of texts.
    ignore=(
        *("logit_scale", "positional_embedding", "text_projection", "token_embedding.*"),
        *("ln_final.*", "transformer.*"),
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


def compared(model, peer, layout, tmp_path, forward, side=SIDE):
    """Load a peer's weights, compare the outputs, and write them back."""
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    save_file({name: value.clone() for name, value in peer.state_dict().items()}, path)
    W.load(model, path, layout)
    x = image(side)
    with torch.no_grad():
        expected = forward(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    close(model(x, training=False), expected)
    round_trip(model, path, layout, tmp_path)


@pytest.mark.oracle
def test_torchvision(timm, tmp_path):
    import torch
    from torchvision.models import VisionTransformer

    peer = VisionTransformer(SIDE, PATCH, DEPTH, HEADS, WIDTH, 4 * WIDTH, num_classes=5)
    peer = randomize(torch, peer)
    compared(network(classes=5), peer, TORCHVISION, tmp_path, peer)


@pytest.mark.oracle
def test_open_clip(timm, tmp_path):
    import torch

    open_clip = pytest.importorskip("open_clip")
    vision = {"image_size": SIDE, "layers": DEPTH, "width": WIDTH, "patch_size": PATCH}
    text = {"context_length": 4, "vocab_size": 7, "width": 8, "heads": 2, "layers": 1}
    peer = open_clip.CLIP(6, {**vision, "head_width": WIDTH // HEADS}, text)
    peer = randomize(torch, peer)
    compared(network(classes=6, clip=True), peer, OPEN_CLIP, tmp_path, peer.encode_image)


@pytest.mark.oracle
def test_keras(tmp_path):
    """A network of Keras's own layers, saved by Keras, into the same one of ours."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.DepthwiseConv2D(2, name="depth")(x))
    peer = keras.Model(inputs, keras.layers.Dense(3, name="head")(x))
    random = np.random.default_rng(0)
    for variable in peer.weights:
        variable.assign(random.uniform(0.1, 1.0, variable.shape))
    peer.save_weights(tmp_path / "peer.weights.h5")
    places = {
        "conv2d": ("conv", ("kernel", "bias")),
        "batch_normalization": ("norm", ("gamma", "beta", "moving_mean", "moving_variance")),
        "depthwise_conv2d": ("depth", ("kernel", "bias")),
        "dense": ("head", ("kernel", "bias")),
    }
    layout = W.Layout(
        "keras",
        tuple(
            W.Rule(f"layers/{group}/vars/{i}", f"{layer}.{name}", W.COPY)
            for group, (layer, names) in places.items()
            for i, name in enumerate(names)
        ),
    )
    model = keras.models.clone_model(peer)
    W.load(model, tmp_path / "peer.weights.h5", layout)
    x = random.normal(size=(2, 8, 8, 3)).astype("float32")
    close(model(x), keras.ops.convert_to_numpy(peer(x)))
    W.export(model, tmp_path / "back.npz", layout, like=tmp_path / "peer.weights.h5")
    back, source = W.open(tmp_path / "back.npz"), W.open(tmp_path / "peer.weights.h5")
    assert {n: back[n].tobytes() for n in back} == {n: source[n].tobytes() for n in source}
