"""Keys of the files of ConvNeXt, versions 1 and 2."""

from __future__ import annotations

from typing import Any, Final

from dl_techniques import weights as W  # noqa: N812  # as the documents have it

_BLOCK: Final = "stage{i}_block{j}"


def _blocks(prefix: str, keys: dict[str, str]) -> tuple[W.Rule, ...]:
    """The rules of a block; a key that a file lacks does no harm."""
    own: dict[str, Any] = {
        "depthwise": W.DEPTHWISE,
        "norm": W.NORM,
        "expand": W.LINEAR,
        "project": W.LINEAR,
        "layer_scale.gamma": W.COPY,
        "grn.gamma": W.COPY,
        "grn.beta": W.COPY,
    }
    return tuple(
        W.Rule(f"{prefix}.{key}", f"{_BLOCK}.{path}", own[path]) for path, key in keys.items()
    )


TIMM: Final = W.Layout(
    "timm",
    (
        W.Rule("stem.0", "stem", W.CONV),
        W.Rule("stem.1", "stem_norm", W.NORM),
        W.Rule("stages.{i}.downsample.0", "down{i}_norm", W.NORM),
        W.Rule("stages.{i}.downsample.1", "down{i}", W.CONV),
        *_blocks(
            "stages.{i}.blocks.{j}",
            {
                "depthwise": "conv_dw",
                "norm": "norm",
                "expand": "mlp.fc1",
                "project": "mlp.fc2",
                "layer_scale.gamma": "gamma",
                "grn.gamma": "mlp.grn.weight",
                "grn.beta": "mlp.grn.bias",
            },
        ),
        W.Rule("head.norm", "norm", W.NORM),
        W.Rule("head.fc", "head", W.LINEAR),
    ),
)

_HF: Final = "encoder.stages.{i}"


def _hf(prefix: str) -> W.Layout:
    return W.Layout(
        "hf",
        (
            W.Rule(f"{prefix}.embeddings.patch_embeddings", "stem", W.CONV),
            W.Rule(f"{prefix}.embeddings.layernorm", "stem_norm", W.NORM),
            W.Rule(f"{prefix}.{_HF}.downsampling_layer.0", "down{i}_norm", W.NORM),
            W.Rule(f"{prefix}.{_HF}.downsampling_layer.1", "down{i}", W.CONV),
            *_blocks(
                f"{prefix}.{_HF}.layers.{{j}}",
                {
                    "depthwise": "dwconv",
                    "norm": "layernorm",
                    "expand": "pwconv1",
                    "project": "pwconv2",
                    "layer_scale.gamma": "layer_scale_parameter",
                    "grn.gamma": "grn.weight",
                    "grn.beta": "grn.bias",
                },
            ),
            W.Rule(f"{prefix}.layernorm", "norm", W.NORM),
            W.Rule("classifier", "head", W.LINEAR),
        ),
    )


HF_V1: Final = _hf("convnext")
HF_V2: Final = _hf("convnextv2")

FACEBOOK: Final = W.Layout(
    "facebook",
    (
        W.Rule("model.downsample_layers.0.0", "stem", W.CONV),
        W.Rule("model.downsample_layers.0.1", "stem_norm", W.NORM),
        W.Rule("model.downsample_layers.{i}.0", "down{i}_norm", W.NORM),
        W.Rule("model.downsample_layers.{i}.1", "down{i}", W.CONV),
        *_blocks(
            "model.stages.{i}.{j}",
            {
                "depthwise": "dwconv",
                "norm": "norm",
                "expand": "pwconv1",
                "project": "pwconv2",
                "layer_scale.gamma": "gamma",
                "grn.gamma": "grn.gamma",
                "grn.beta": "grn.beta",
            },
        ),
        W.Rule("model.norm", "norm", W.NORM),
        W.Rule("model.head", "head", W.LINEAR),
    ),
)
"""The releases of facebookresearch, whose files hold the network under `model`."""
