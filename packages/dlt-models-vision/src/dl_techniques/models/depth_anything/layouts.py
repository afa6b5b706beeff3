"""Keys of the files of Depth Anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.models.vit.layouts import PARTS, THREE, TIMM_BLOCK, block_rules

_HF_BLOCK: Final = "backbone.encoder.layer.{i}"
_HF_NAMES: Final = {
    "out": "attention.output.dense",
    "norm1": "norm1",
    "norm2": "norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}
# The transposed convolutions; the third level has no resizing, the fourth a convolution.
_RESIZES: Final = (W.TRANSPOSED_CONV, W.TRANSPOSED_CONV, None, W.CONV)


def _convolutions(pairs: dict[str, str]) -> Iterator[W.Rule]:
    for keys, variables in pairs.items():
        yield W.Rule(keys, variables, W.CONV)


def _hf_decoder() -> Iterator[W.Rule]:
    stage, fusion = "neck.reassemble_stage.layers", "neck.fusion_stage.layers"
    for k, code in enumerate(_RESIZES):
        yield W.Rule(f"{stage}.{k}.projection", f"reassemble{k}_projection", W.CONV)
        if code is not None:
            yield W.Rule(f"{stage}.{k}.resize", f"reassemble{k}_resize", code)
        yield W.Rule(f"neck.convs.{k}", f"neck{k}", W.CONV)
        # In the files the coarsest comes first, and what it would be fused with is not used.
        fused = f"{fusion}.{3 - k}"
        yield W.Rule(f"{fused}.projection", f"fusion{k}_projection", W.CONV)
        for i in range(2):
            own = f"convolution{i + 1}"
            yield W.Rule(f"{fused}.residual_layer2.{own}", f"fusion{k}_residual_conv{i}", W.CONV)
            if k < 3:
                yield W.Rule(f"{fused}.residual_layer1.{own}", f"fusion{k}_skip_conv{i}", W.CONV)
    yield from _convolutions({f"head.conv{i + 1}": f"head{i}" for i in range(3)})


HF: Final = W.Layout(
    "hf",
    (
        W.Rule("backbone.embeddings.cls_token", "class_token.tokens", W.COPY),
        W.Rule(
            "backbone.embeddings.position_embeddings",
            "positions",
            W.Positions("plain", parts=PARTS),
        ),
        W.Rule("backbone.embeddings.patch_embeddings.projection", "patches.projection", W.CONV),
        *(
            W.Rule(
                f"{_HF_BLOCK}.attention.attention.{name.removesuffix('_projection')}",
                f"block{{i}}.attention.{name}",
                W.LINEAR,
            )
            for name in THREE
        ),
        *block_rules(_HF_BLOCK, _HF_NAMES),
        *(
            W.Rule(
                f"{_HF_BLOCK}.layer_scale{i + 1}.lambda1", f"block{{i}}.scales.{i}.gamma", W.COPY
            )
            for i in range(2)
        ),
        W.Rule("backbone.layernorm", "norm", W.NORM),
        *_hf_decoder(),
    ),
    ignore=("backbone.embeddings.mask_token", "neck.fusion_stage.layers.0.residual_layer1.*"),
)
"""`DepthAnythingForDepthEstimation` of transformers."""


def _official_decoder() -> Iterator[W.Rule]:
    head = "depth_head"
    for k, code in enumerate(_RESIZES):
        yield W.Rule(f"{head}.projects.{k}", f"reassemble{k}_projection", W.CONV)
        if code is not None:
            yield W.Rule(f"{head}.resize_layers.{k}", f"reassemble{k}_resize", code)
        yield W.Rule(f"{head}.scratch.layer{k + 1}_rn", f"neck{k}", W.CONV)
        net = f"{head}.scratch.refinenet{k + 1}"
        yield W.Rule(f"{net}.out_conv", f"fusion{k}_projection", W.CONV)
        for i in range(2):
            own = f"conv{i + 1}"
            yield W.Rule(f"{net}.resConfUnit2.{own}", f"fusion{k}_residual_conv{i}", W.CONV)
            if k < 3:
                yield W.Rule(f"{net}.resConfUnit1.{own}", f"fusion{k}_skip_conv{i}", W.CONV)
    last = {"output_conv1": "head0", "output_conv2.0": "head1", "output_conv2.2": "head2"}
    yield from _convolutions({f"{head}.scratch.{keys}": name for keys, name in last.items()})


_OFFICIAL_BLOCK: Final = "pretrained.blocks.{i}"
OFFICIAL: Final = W.Layout(
    "official",
    (
        W.Rule("pretrained.cls_token", "class_token.tokens", W.COPY),
        W.Rule("pretrained.pos_embed", "positions", W.Positions("plain", parts=PARTS)),
        W.Rule("pretrained.patch_embed.proj", "patches.projection", W.CONV),
        W.Rule(f"{_OFFICIAL_BLOCK}.attn.qkv", "block{i}.attention", W.SplitThree(THREE)),
        *block_rules(_OFFICIAL_BLOCK, TIMM_BLOCK),
        *(
            W.Rule(f"{_OFFICIAL_BLOCK}.ls{i + 1}.gamma", f"block{{i}}.scales.{i}.gamma", W.COPY)
            for i in range(2)
        ),
        W.Rule("pretrained.norm", "norm", W.NORM),
        *_official_decoder(),
    ),
    ignore=("pretrained.mask_token", "depth_head.scratch.refinenet4.resConfUnit1.*"),
)
"""The `.pth` files of the authors."""
