"""Keys of the files of MobileNetV4, which only timm has published."""

from __future__ import annotations

from typing import Final

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.models.vision.conv_norm import ConvNorm

_KEY: Final = "blocks.{i}.{j}"
_OWN: Final = "stage{i}_block{j}"
_ATTENTION: Final = f"{_OWN}.attention"


def _uib() -> tuple[W.Rule, ...]:
    names = {
        "dw_start": ("start_dw", "start_norm"),
        "pw_exp": ("expand", "expand_norm"),
        "dw_mid": ("middle_dw", "middle_norm"),
        "pw_proj": ("project", "project_norm"),
    }
    return tuple(
        rule
        for key, (layer, norm) in names.items()
        for rule in (
            W.Rule(
                f"{_KEY}.{key}.conv",
                f"{_OWN}.{layer}",
                W.DEPTHWISE if key.startswith("dw") else W.LINEAR,
            ),
            W.Rule(f"{_KEY}.{key}.bn", f"{_OWN}.{norm}", W.BATCH_NORM),
        )
    )


def _reduced(name: str) -> tuple[W.Rule, ...]:
    return (
        W.Rule(f"{_KEY}.attn.{name}.down_conv", f"{_ATTENTION}.{name}_reduction", W.DEPTHWISE),
        W.Rule(f"{_KEY}.attn.{name}.norm", f"{_ATTENTION}.{name}_norm", W.BATCH_NORM),
        W.Rule(f"{_KEY}.attn.{name}.proj", f"{_ATTENTION}.{name}_projection", W.LINEAR),
    )


TIMM: Final = W.Layout(
    "timm",
    (
        W.Rule("conv_stem", "stem", ConvNorm("bn1")),
        *_uib(),
        W.Rule(f"{_KEY}.conv_exp", f"expand_{_OWN}", ConvNorm(f"{_KEY}.bn1")),
        W.Rule(f"{_KEY}.conv_pwl", f"project_{_OWN}", ConvNorm(f"{_KEY}.bn2")),
        W.Rule(f"{_KEY}.conv", f"{_OWN}", ConvNorm(f"{_KEY}.bn1")),
        W.Rule(f"{_KEY}.layer_scale.gamma", f"{_OWN}.layer_scale.gamma", W.COPY),
        W.Rule(f"{_KEY}.norm", f"{_OWN}.norm_layer", W.BATCH_NORM),
        W.Rule(f"{_KEY}.attn.query.proj", f"{_ATTENTION}.query_projection", W.LINEAR),
        *_reduced("key"),
        *_reduced("value"),
        W.Rule(f"{_KEY}.attn.output.proj", f"{_ATTENTION}.output_projection", W.LINEAR),
        W.Rule("conv_head", "head_dense", W.LINEAR),
        W.Rule("norm_head", "head_norm", W.BATCH_NORM),
        W.Rule("classifier", "head", W.LINEAR),
    ),
)
