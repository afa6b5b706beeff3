"""Read the scale of low-rank updates from an adapter_config.json."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from dl_techniques.weightwatcher.readers.weight import SourceError

_FILE: Final = "adapter_config.json"
_LIMIT: Final = 1 << 22
_PATTERNS: Final = 1000
_LONGEST: Final = 300
_QUANTIFIERS: Final = re.compile(r"(?<!\\)[*+?{]")
# A quantified group, or a quantifier of a quantifier, may take for ever.
_NESTED: Final = re.compile(r"\)[*+?{]|[*+?}][*+{]")
_PREFIX: Final = "base_model.model."


class AdapterConfig(NamedTuple):
    """The scale of each layer's update, and how its base is stored."""

    alpha: float | None
    root: bool
    """Whether alpha is divided by the square root of the rank."""
    alphas: tuple[tuple[str, float], ...]
    """Patterns of layers that have an alpha of their own."""
    factor: float | None
    """The scale itself, as MLX writes it."""
    turned: bool | None
    """Whether bases are stored as (in, out)."""

    def scaling(self, stem: str, adapter: str, rank: int) -> float | None:
        """Return what an update is multiplied by.

        Args:
            stem: The name of the layer.
            adapter: The name of the adapter.
            rank: How many rows the first factor has.
        """
        del adapter  # the file describes all of them
        if self.factor is not None:
            return self.factor
        name = stem.removeprefix(_PREFIX)
        found = (value for pattern, value in self.alphas if _matches(pattern, name))
        alpha = next(found, self.alpha)
        return None if alpha is None else alpha / (math.sqrt(rank) if self.root else rank)


def read_adapter_config(folder: Path) -> AdapterConfig | None:
    """Read the configuration beside an adapter; nothing without one.

    Args:
        folder: Where the adapter is.

    Raises:
        SourceError: If it is damaged.
    """
    file = folder / _FILE
    if not file.is_file():
        return None
    try:
        if file.stat().st_size > _LIMIT:
            raise ValueError("it is too long")
        return adapter_config_of(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"{file} does not say r and lora_alpha: {error}") from error


def adapter_config_of(config: Mapping[str, Any]) -> AdapterConfig:
    """Pick what decides the scale.

    Args:
        config: The configuration, as PEFT or MLX writes it.

    Raises:
        ValueError: If a number or a pattern is not what it may be.
        KeyError: If the configuration of a LoRA adapter has no alpha.
    """
    inner = config.get("lora_parameters")
    if isinstance(inner, Mapping):
        return AdapterConfig(None, False, (), _number(inner["scale"]), None)
    alpha = config.get("lora_alpha", config.get("alpha"))
    if alpha is None and config.get("peft_type", "LORA") in {"LORA", "ADALORA"}:
        raise KeyError("lora_alpha")
    _number(config.get("r", 1))
    patterns = tuple(
        (_checked(k), _number(v)) for k, v in (config.get("alpha_pattern") or {}).items()
    )
    if len(patterns) > _PATTERNS:
        raise ValueError("it has too many patterns")
    turned = config.get("fan_in_fan_out")
    return AdapterConfig(
        None if alpha is None else _number(alpha),
        bool(config.get("use_rslora")),
        patterns,
        None,
        True if turned is True else None,
    )


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number) or number == 0:
        raise ValueError(f"{value!r} is no scale")
    return number


def _checked(pattern: Any) -> str:
    simple = isinstance(pattern, str) and len(pattern) <= _LONGEST
    if not simple or len(_QUANTIFIERS.findall(pattern)) > 3 or _NESTED.search(pattern):
        raise ValueError(f"the pattern {pattern!r:.80} is not simple enough to be tried")
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"the pattern {pattern!r} is malformed: {error}") from error
    return str(pattern)


def _matches(pattern: str, name: str) -> bool:
    """Return whether a pattern is the name, or its end after a dot, as PEFT compares them."""
    if len(name) > _LONGEST:
        return False
    parts = name.split(".")
    ends = (".".join(parts[first:]) for first in range(len(parts)))
    return any(re.fullmatch(pattern, end) for end in ends)
