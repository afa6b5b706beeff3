"""Keys of the files of CLIP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.models.vit.layouts import PARTS, THREE, block_rules

_HF_BLOCK: Final = {
    "out": "self_attn.out_proj",
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}
_OPENAI_BLOCK: Final = {
    "out": "attn.out_proj",
    "norm1": "ln_1",
    "norm2": "ln_2",
    "fc1": "mlp.c_fc",
    "fc2": "mlp.c_proj",
}


def _hf_blocks(tower: str, block: str) -> Iterator[W.Rule]:
    prefix = f"{tower}.encoder.layers.{{i}}"
    for letter, name in zip("qkv", THREE, strict=True):
        yield W.Rule(f"{prefix}.self_attn.{letter}_proj", f"{block}.attention.{name}", W.LINEAR)
    yield from block_rules(prefix, _HF_BLOCK, block)


def _openai_blocks(prefix: str, block: str) -> Iterator[W.Rule]:
    fused = W.SplitThree(THREE, ("in_proj_weight", "in_proj_bias"))
    yield W.Rule(f"{prefix}.attn", f"{block}.attention", fused)
    yield from block_rules(prefix, _OPENAI_BLOCK, block)


HF: Final = W.Layout(
    "hf",
    (
        W.Rule("logit_scale", "logits.logit_scale", W.COPY),
        W.Rule("vision_model.embeddings.class_embedding", "image_class_token.tokens", W.COPY),
        W.Rule("vision_model.embeddings.patch_embedding", "image_patches.projection", W.CONV),
        W.Rule(
            "vision_model.embeddings.position_embedding.weight",
            "image_positions",
            W.Positions("plain", parts=PARTS),
        ),
        # Spelt so in the files.
        W.Rule("vision_model.pre_layrnorm", "image_first_norm", W.NORM),
        *_hf_blocks("vision_model", "image_block{i}"),
        W.Rule("vision_model.post_layernorm", "image_norm", W.NORM),
        W.Rule("visual_projection", "image_projection", W.LINEAR),
        W.Rule("text_model.embeddings.token_embedding.weight", "text_tokens.embeddings", W.COPY),
        W.Rule(
            "text_model.embeddings.position_embedding.weight", "text_positions.embeddings", W.COPY
        ),
        *_hf_blocks("text_model", "text_block{i}"),
        W.Rule("text_model.final_layer_norm", "text_norm", W.NORM),
        W.Rule("text_projection", "text_projection", W.LINEAR),
    ),
    ignore=("*.position_ids",),
)
"""`CLIPModel` of transformers."""

OPENCLIP: Final = W.Layout(
    "openclip",
    (
        W.Rule("logit_scale", "logits.logit_scale", W.COPY),
        W.Rule("visual.class_embedding", "image_class_token.tokens", W.COPY),
        W.Rule("visual.conv1", "image_patches.projection", W.CONV),
        W.Rule(
            "visual.positional_embedding", "image_positions", W.Positions("antialias", parts=PARTS)
        ),
        W.Rule("visual.ln_pre", "image_first_norm", W.NORM),
        *_openai_blocks("visual.transformer.resblocks.{i}", "image_block{i}"),
        W.Rule("visual.ln_post", "image_norm", W.NORM),
        # Both projections are stored as (features, embedding), unlike linear layers.
        W.Rule("visual.proj", "image_projection.kernel", W.COPY),
        W.Rule("token_embedding.weight", "text_tokens.embeddings", W.COPY),
        W.Rule("positional_embedding", "text_positions.embeddings", W.COPY),
        *_openai_blocks("transformer.resblocks.{i}", "text_block{i}"),
        W.Rule("ln_final", "text_norm", W.NORM),
        W.Rule("text_projection", "text_projection.kernel", W.COPY),
    ),
    # Numbers and masks that files of TorchScript hold beside the weights.
    ignore=("input_resolution", "context_length", "vocab_size", "*attn_mask"),
)
"""OpenAI's releases and open_clip."""
