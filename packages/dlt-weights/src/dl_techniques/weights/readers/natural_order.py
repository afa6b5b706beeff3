"""Sorting names as people do."""

from __future__ import annotations

import re


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts `shard-2` before `shard-10`.

    Args:
        text: A file name.
    """
    parts = re.split(r"(\d+)", text)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
