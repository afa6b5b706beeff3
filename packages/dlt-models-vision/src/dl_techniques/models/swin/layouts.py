"""Keys of the files of Swin transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dl_techniques import weights as W  # noqa: N812  # as the documents have it

_BLOCK: Final = "stage{i}_block{j}"
_THREE: Final = ("query_projection", "key_projection", "value_projection")
# Tables that follow from the sizes.
_BUFFERS: Final = ("*.relative_position_index", "*.attn_mask")
_OWN: Final[Mapping[str, tuple[str, Any]]] = {
    "norm1": ("norm1", W.NORM),
    "norm2": ("norm2", W.NORM),
    "out": ("attention.output_projection", W.LINEAR),
    "table": ("attention.relative_position_bias_table", W.COPY),
    "fc1": ("ffn_layer.hidden", W.LINEAR),
    "fc2": ("ffn_layer.output_dense", W.LINEAR),
}


def _blocks(prefix: str, names: Mapping[str, str]) -> tuple[W.Rule, ...]:
    return tuple(
        W.Rule(f"{prefix}.{key}", f"{_BLOCK}.{_OWN[name][0]}", _OWN[name][1])
        for name, key in names.items()
    )


def _original(name: str, prefix: str, down: str, head: str) -> W.Layout:
    """The names of the authors, which timm keeps.

    Args:
        name: Of the layout.
        prefix: Of all keys.
        down: The merging that the keys of a stage hold.
        head: The classifier.
    """
    block = f"{prefix}layers.{{i}}.blocks.{{j}}"
    return W.Layout(
        name,
        (
            W.Rule(f"{prefix}patch_embed.proj", "patches.projection", W.CONV),
            W.Rule(f"{prefix}patch_embed.norm", "patches.norm_layer", W.NORM),
            W.Rule(f"{prefix}layers.{{i}}.downsample.norm", f"{down}.norm_layer", W.NORM),
            W.Rule(f"{prefix}layers.{{i}}.downsample.reduction", f"{down}.reduction", W.LINEAR),
            W.Rule(f"{block}.attn.qkv", f"{_BLOCK}.attention", W.SplitThree(_THREE)),
            *_blocks(
                block,
                {
                    "norm1": "norm1",
                    "norm2": "norm2",
                    "out": "attn.proj",
                    "table": "attn.relative_position_bias_table",
                    "fc1": "mlp.fc1",
                    "fc2": "mlp.fc2",
                },
            ),
            W.Rule(f"{prefix}norm", "norm", W.NORM),
            W.Rule(f"{prefix}{head}", "head", W.LINEAR),
        ),
        ignore=_BUFFERS,
    )


TIMM: Final = _original("timm", "", "down{i}", "head.fc")
"""timm, where a merging belongs to the stage after it."""
MICROSOFT: Final = _original("microsoft", "model.", "down{i+1}", "head")
"""The releases of microsoft/Swin-Transformer, where it belongs to the stage before."""

_HF: Final = "swin.encoder.layers.{i}"
HF: Final = W.Layout(
    "hf",
    (
        W.Rule("swin.embeddings.patch_embeddings.projection", "patches.projection", W.CONV),
        W.Rule("swin.embeddings.norm", "patches.norm_layer", W.NORM),
        W.Rule(f"{_HF}.downsample.norm", "down{i+1}.norm_layer", W.NORM),
        W.Rule(f"{_HF}.downsample.reduction", "down{i+1}.reduction", W.LINEAR),
        *(
            W.Rule(
                f"{_HF}.blocks.{{j}}.attention.self.{name}",
                f"{_BLOCK}.attention.{name}_projection",
                W.LINEAR,
            )
            for name in ("query", "key", "value")
        ),
        *_blocks(
            f"{_HF}.blocks.{{j}}",
            {
                "norm1": "layernorm_before",
                "norm2": "layernorm_after",
                "out": "attention.output.dense",
                "table": "attention.self.relative_position_bias_table",
                "fc1": "intermediate.dense",
                "fc2": "output.dense",
            },
        ),
        W.Rule("swin.layernorm", "norm", W.NORM),
        W.Rule("classifier", "head", W.LINEAR),
    ),
    ignore=_BUFFERS,
)
