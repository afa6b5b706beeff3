"""A part of a weight: one matrix, or one stack of matrices whose eigenvalues are pooled."""

from __future__ import annotations

from typing import Any, NamedTuple

Step = tuple[Any, ...]


class Part(NamedTuple):
    """One matrix (or one stack of matrices, whose eigenvalues are pooled) of a weight."""

    suffix: str
    """What to add to the weight's path, such as `[gate 2]`."""
    steps: tuple[Step, ...]
    slices: int
    N: int
    M: int
    note: str = ""
    rank: int | None = None
    """The most that each matrix can have, where it is less than M."""

    kernel: bool = False
    """Whether the matrices are the taps of a convolution, be it only one."""

    @property
    def evals(self) -> int:
        """Return how many eigenvalues there are; those that must be zero do not count."""
        return self.slices * (self.M if self.rank is None else self.rank)


def make_part(
    suffix: str, steps: tuple[Step, ...], slices: int, rows: int, columns: int, note: str = ""
) -> Part:
    """Make a part of matrices with so many rows and columns.

    Args:
        suffix: Addition to the weight's path.
        steps: How to get from the array to the stack.
        slices: How many matrices there are.
        rows: Of each.
        columns: Of each.
        note: Remark for the row.
    """
    return Part(suffix, steps, slices, max(rows, columns), min(rows, columns), note)
