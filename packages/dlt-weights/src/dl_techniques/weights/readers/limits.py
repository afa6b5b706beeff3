"""Bounds on what a file may describe, whatever its format."""

from __future__ import annotations

from typing import Final

# NumPy before 2.0 has no arrays of more axes.
MOST_AXES: Final = 32
_SHOWN: Final = 8


def fault_of_shape(shape: tuple[int, ...]) -> str | None:
    """Say why no array can have a shape, or nothing.

    Args:
        shape: As a file states it.
    """
    if len(shape) > MOST_AXES:
        return f"has {len(shape):,} axes; {MOST_AXES} are read at most"
    return None


def shown(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape as a record keeps it: cut off if no array can have it.

    Args:
        shape: As a file states it.
    """
    return shape if len(shape) <= MOST_AXES else shape[:_SHOWN]
