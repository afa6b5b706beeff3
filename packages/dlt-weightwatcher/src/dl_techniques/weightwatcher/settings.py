"""The options of an analysis, checked once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

_CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "conv": ("slices", "flatten", "fft"),
    "conv_layout": ("auto", "hwio", "oihw"),
    "rnn": ("gates", "whole"),
    "attention": ("matrix", "heads"),
    "experts": ("pooled", "each"),
    "precision": ("float64", "float32"),
    "method": ("auto", "gram", "svd"),
    "fit": ("PL", "TPL", "E_TPL", "best", None),
    "fingers": (None, "clip", "test"),
    "ks": ("lower", "two_sided"),
    "on_error": ("record", "raise"),
    "compat": (None, "weightwatcher"),
}
_COUNTS: Final = {"min_evals": 1, "min_tail": 2, "bootstrap": 0, "gof": 0, "seed": 0}
_SWITCHES: Final = ("detX", "mp_fit", "randomize", "vectors", "hill")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of an analysis; `analyze_model` documents each."""

    min_evals: int = 8
    max_evals: int | None = None
    max_N: int | None = None
    conv: str = "slices"
    conv_layout: str = "auto"
    rnn: str = "gates"
    attention: str = "matrix"
    experts: str = "pooled"
    precision: str = "float64"
    method: str = "auto"
    device: str | None = None
    fit: str | None = "PL"
    xmin: Any = None
    xmax: int | float | None = None
    min_tail: int = 2
    ks: str = "lower"
    fingers: str | None = None
    bootstrap: int = 0
    gof: int = 0
    detX: bool = False
    mp_fit: bool = False
    randomize: bool = False
    vectors: bool = False
    hill: bool = True
    farms: float | None = None
    seed: int = 0
    on_error: str = "record"
    compat: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                listed = ", ".join(repr(value) for value in allowed)
                raise ValueError(
                    f"`{name}` must be one of {listed}. Received: {name}={getattr(self, name)!r}"
                )
        for name, least in _COUNTS.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(
                    f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}"
                )
        for name in ("max_evals", "max_N"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(
                    f"`{name}` must be a positive integer or None. Received: {name}={value!r}"
                )
        self._check_switches()
        self._check_xmin()
        if self.xmax is not None and not (_is_number(self.xmax) and 0 < self.xmax < math.inf):
            raise ValueError(
                "`xmax` must be a positive number: an integer drops so many of the largest "
                f"eigenvalues, a float those above it. Received: xmax={self.xmax!r}"
            )
        if self.farms is not None and not (_is_number(self.farms) and self.farms >= 1):
            raise ValueError(
                f"`farms` must be an aspect ratio of at least 1. Received: farms={self.farms!r}"
            )

    def _check_switches(self) -> None:
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"`{name}` must be True or False. Received: {name}={getattr(self, name)!r}"
                )
        if self.device is not None and not isinstance(self.device, str):
            raise ValueError(
                "`device` must be None or a text such as 'cpu' or 'cuda:1'. "
                f"Received: device={self.device!r}"
            )

    def _check_xmin(self) -> None:
        if self.xmin is None or (isinstance(self.xmin, str) and self.xmin == "peak"):
            return
        bounds = self.xmin if isinstance(self.xmin, tuple | list) else (self.xmin, self.xmin)
        numbers = all(_is_number(b) and b > 0 for b in bounds)
        if not (numbers and len(bounds) == 2 and bounds[0] <= bounds[1]):
            raise ValueError(
                '`xmin` must be None, "peak", a positive number or a pair (low, high). '
                f"Received: xmin={self.xmin!r}"
            )

    def to_dict(self) -> dict[str, Any]:
        """All options as JSON types."""
        return asdict(self)

    @classmethod
    def names(cls) -> frozenset[str]:
        """The options that there are."""
        return frozenset(field.name for field in fields(cls))


def _is_number(value: Any) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and not math.isnan(value)
