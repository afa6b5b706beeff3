"""Keys of the files of vision transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.models.vit.slashed import Heads, Slashed

PARTS: Final = ("prefix_embeddings", "embeddings")
THREE: Final = ("query_projection", "key_projection", "value_projection")
_OWN: Final = {
    "out": "attention.output_projection",
    "norm1": "norms.0",
    "norm2": "norms.1",
    "fc1": "ffn_layer.hidden",
    "fc2": "ffn_layer.output_dense",
}


def block_rules(prefix: str, names: Mapping[str, str], block: str = "block{i}") -> Iterator[W.Rule]:
    """The rules of a block.

    Args:
        prefix: Prefix of its keys.
        names: `out`, `norm1`, `norm2`, `fc1`, `fc2` -> the key in the file.
        block: The block's name in the model.
    """
    for name, key in names.items():
        code = W.NORM if name.startswith("norm") else W.LINEAR
        yield W.Rule(f"{prefix}.{key}", f"{block}.{_OWN[name]}", code)


TIMM_BLOCK: Final = {
    "out": "attn.proj",
    "norm1": "norm1",
    "norm2": "norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}
_TIMM: Final = (
    W.Rule("cls_token", "class_token.tokens", W.COPY),
    W.Rule("pos_embed", "positions", W.Positions("antialias", parts=PARTS)),
    W.Rule("patch_embed.proj", "patches.projection", W.CONV),
    W.Rule("blocks.{i}.attn.qkv", "block{i}.attention", W.SplitThree(THREE)),
    W.Rule("blocks.{i}.ls1.gamma", "block{i}.scales.0.gamma", W.COPY),
    W.Rule("blocks.{i}.ls2.gamma", "block{i}.scales.1.gamma", W.COPY),
    *block_rules("blocks.{i}", TIMM_BLOCK),
    W.Rule("head", "head", W.LINEAR),
)
TIMM: Final = W.Layout("timm", (*_TIMM, W.Rule("norm", "norm", W.NORM)))
"""timm; also the releases of DeiT and DINO."""
TIMM_AVG: Final = W.Layout("timm_avg", (*_TIMM, W.Rule("fc_norm", "norm", W.NORM)))
"""timm, with the mean of the patches before the last norm."""

_HF: Final = "vit.encoder.layer.{i}"
HF: Final = W.Layout(
    "hf",
    (
        W.Rule("vit.embeddings.cls_token", "class_token.tokens", W.COPY),
        W.Rule(
            "vit.embeddings.position_embeddings", "positions", W.Positions("plain", parts=PARTS)
        ),
        W.Rule("vit.embeddings.patch_embeddings.projection", "patches.projection", W.CONV),
        *(
            W.Rule(
                f"{_HF}.attention.attention.{name}",
                f"block{{i}}.attention.{name}_projection",
                W.LINEAR,
            )
            for name in ("query", "key", "value")
        ),
        *block_rules(
            _HF,
            {
                "out": "attention.output.dense",
                "norm1": "layernorm_before",
                "norm2": "layernorm_after",
                "fc1": "intermediate.dense",
                "fc2": "output.dense",
            },
        ),
        W.Rule("vit.layernorm", "norm", W.NORM),
        W.Rule("classifier", "head", W.LINEAR),
    ),
)
"""`ViTForImageClassification` of transformers."""

_NORM: Final = Slashed((("scale", "gamma"), ("bias", "beta")))
_DENSE: Final = Slashed((("kernel", "kernel"), ("bias", "bias")))
_JAX: Final = "Transformer/encoderblock_{i}"
_ATTENTION: Final = f"{_JAX}/MultiHeadDotProductAttention_1"
JAX: Final = W.Layout(
    "jax",
    (
        W.Rule("cls", "class_token.tokens", W.COPY),
        W.Rule("embedding", "patches.projection", _DENSE),
        W.Rule(
            "Transformer/posembed_input/pos_embedding",
            "positions",
            W.Positions("antialias", parts=PARTS),
        ),
        *(
            W.Rule(f"{_ATTENTION}/{name}", f"block{{i}}.attention.{name}_projection", Heads())
            for name in ("query", "key", "value")
        ),
        W.Rule(f"{_ATTENTION}/out", "block{i}.attention.output_projection", Heads(inverse=True)),
        W.Rule(f"{_JAX}/LayerNorm_0", "block{i}.norms.0", _NORM),
        W.Rule(f"{_JAX}/LayerNorm_2", "block{i}.norms.1", _NORM),
        W.Rule(f"{_JAX}/MlpBlock_3/Dense_0", "block{i}.ffn_layer.hidden", _DENSE),
        W.Rule(f"{_JAX}/MlpBlock_3/Dense_1", "block{i}.ffn_layer.output_dense", _DENSE),
        W.Rule("Transformer/encoder_norm", "norm", _NORM),
        W.Rule("head", "head", _DENSE),
    ),
    # Of pretraining on ImageNet-21k only; its classifier is fed without it, as timm does.
    ignore=("pre_logits/*",),
)
"""The `.npz` files of google-research/vision_transformer."""

HMLP: Final = W.Layout(
    "timm",
    (
        *(rule for rule in TIMM.rules if rule.keys != "patch_embed.proj"),
        *(W.Rule(f"patch_embed.proj.{3 * i}", f"patches.convs.{i}", W.CONV) for i in range(4)),
        *(
            W.Rule(f"patch_embed.proj.{3 * i + 1}", f"patches.norms.{i}", W.BATCH_NORM)
            for i in range(4)
        ),
    ),
)
"""Of `ViTHMLP`: timm's names, with the stem's layers numbered as in a `torch.nn.Sequential`."""
