"""Values as JSON and CSV have them, and files that are written whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dl_techniques.core.atomic_write import replacing
from dl_techniques.weightwatcher.columns import TEXTS

if TYPE_CHECKING:
    import os

_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all.

    Args:
        path: The file.
        text: Its content.
    """
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def plain(value: Any) -> Any:
    """A value in JSON types, with null for what is not finite.

    Args:
        value: Numbers, text and containers of them.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def plain_cells(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row for CSV: names are joined, what does not apply is empty, and nothing is a formula.

    Spreadsheets compute what begins with one of `=+-@`; such a name gets an apostrophe before it.

    Args:
        record: The row.
    """
    joined = {k: "; ".join(v) if isinstance(v, list | tuple) else v for k, v in record.items()}
    return {k: _cell(v) for k, v in joined.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULAS) else value
    return "" if isinstance(value, float) and math.isnan(value) else value


def from_plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of JSON, with NaN for the numbers that are not there.

    Args:
        row: The row.
    """
    return {k: (math.nan if v is None and k not in TEXTS else v) for k, v in row.items()}
