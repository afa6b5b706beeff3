"""Read shapes and order of a model's weights from its config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_CONFIG: Final = "config.json"
_LIMIT: Final = 1 << 24
_COUNTS: Final = {
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "kv_heads": (
        "num_key_value_heads",
        "num_kv_heads",
        "n_head_kv",
        "multi_query_group_num",
    ),
    "head_dim": ("head_dim",),
    "experts": (
        "num_local_experts",
        "num_experts",
        "n_routed_experts",
        "moe_num_experts",
    ),
}
_SWITCHES: Final = ("multi_query", "multi_query_attention", "new_decoder_architecture")


def read_architecture(folder: Path) -> dict[str, Any]:
    """Read the config.json beside the weights; nothing without one.

    Args:
        folder: Where the weights are.
    """
    file = folder / _CONFIG
    try:
        if not file.is_file() or file.stat().st_size > _LIMIT:
            return {}
        config = json.loads(file.read_text(encoding="utf-8"))
    # It only adds to what the weights say themselves.
    except (OSError, ValueError, RecursionError):
        return {}
    return architecture_of(config) if isinstance(config, dict) else {}


def architecture_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the facts that decide how to read weights.

    Args:
        config: The configuration of a model, as Hugging Face writes it.

    Returns:
        `model_type`, and as far as they are stated `heads`, `kv_heads`, `head_dim`, `experts`,
        `multi_query`, `new_decoder_architecture` and `block`: how many rows and columns share a
        scale.
    """
    inner = config.get("text_config")
    parts = [config, inner] if isinstance(inner, Mapping) else [config]
    parts += [p for part in list(parts) if isinstance(p := part.get("ffn_config"), Mapping)]
    found: dict[str, Any] = {}
    for part in parts:
        if isinstance(part.get("model_type"), str):
            found.setdefault("model_type", part["model_type"])
        for name, keys in _COUNTS.items():
            for key in keys:
                value = part.get(key)
                if type(value) is int and value > 0:
                    found.setdefault(name, value)
        for key in _SWITCHES:
            if isinstance(part.get(key), bool):
                found.setdefault(key, part[key])
    quantized = config.get("quantization_config")
    if isinstance(quantized, Mapping):
        group = quantized.get("group_size")
        sizes = quantized.get("weight_block_size") or [1, group]
        whole = isinstance(sizes, list) and all(type(n) is int and n > 0 for n in sizes)
        found.update({"block": tuple(sizes)} if whole and len(sizes) == 2 else {})
    return found
