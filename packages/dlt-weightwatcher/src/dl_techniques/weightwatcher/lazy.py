"""Stacks of matrices that are computed block by block, when a block is asked for.

Quantized weights, differences and weights with a low-rank update are larger in double precision
than they are in storage. A matrix of them is never held as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.parts import Part
from dl_techniques.weightwatcher.readers.computed import LowRank
from dl_techniques.weightwatcher.readers.values import Values, block_of


class LazyMatrix:
    """A part of a matrix, possibly turned.

    Args:
        values: The matrix.
        rows: Which rows.
        columns: Which columns.
        turned: Whether to swap the axes.
    """

    ndim = 2
    arrays = 4
    """How many arrays of the size of a block it takes to compute one."""

    def __init__(self, values: Values, rows: slice, columns: slice, turned: bool) -> None:
        self._values, self._rows, self._columns, self._turned = values, rows, columns, turned
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        self.shape = shape[::-1] if turned else shape
        self.dtype = block_of(values, slice(0, 1), slice(0, 1)).dtype

    def __getitem__(self, index: slice) -> Array:
        first, last, _ = index.indices(self.shape[0])
        across = self._columns if not self._turned else self._rows
        along = self._rows if not self._turned else self._columns
        along = slice(along.start + first, along.start + last)
        if self._turned:
            return block_of(self._values, across, along).T
        return block_of(self._values, along, across)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        del copy
        return np.asarray(self[:], dtype)

    def swapaxes(self, first: int, second: int) -> LazyMatrix:
        """The transpose: of two axes there is no other swap.

        Args:
            first: One of the axes.
            second: The other.
        """
        del first, second
        return LazyMatrix(self._values, self._rows, self._columns, not self._turned)

    @property
    def factors(self) -> tuple[Array, Array] | None:
        """Two matrices whose product it is, up to a transposition, if there are such."""
        if isinstance(self._values, LowRank) and self._values.base is None:
            return self._values.factors(self._rows, self._columns)
        return None


class LazyStack:
    """A stack of one matrix.

    Args:
        matrix: The matrix.
    """

    ndim = 3

    def __init__(self, matrix: LazyMatrix) -> None:
        self._matrix = matrix
        self.shape = (1, *matrix.shape)
        self.dtype = matrix.dtype

    def __iter__(self) -> Iterator[LazyMatrix]:
        yield self._matrix

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: slice) -> Array:
        return np.asarray(self._matrix)[None][index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        del copy
        return np.asarray(self._matrix, dtype)[None]

    @property
    def factors(self) -> tuple[Array, Array] | None:
        """Two matrices whose product the matrix is."""
        return self._matrix.factors


def lazy_stack(values: Values, part: Part) -> LazyStack | None:
    """Return the stack of a part without computing it, where the steps allow that.

    Args:
        values: The weight.
        part: Which part of it.
    """
    if len(values.shape) != 2 or not hasattr(values, "block"):
        return None
    bounds = [[0, n] for n in values.shape]
    turned = stacked = False
    for name, *arguments in part.steps:
        shape = tuple(last - first for first, last in bounds)
        if name == "slice" and not stacked:
            axis, first, last = arguments
            start = bounds[axis][0]
            bounds[axis] = [start + first, start + last]
        elif name == "reshape" and not stacked and arguments[0] == (1, *shape):
            stacked = True
        elif name == "transpose" and stacked and arguments[0] == (0, 2, 1):
            turned = not turned
        elif (
            (name == "reshape" and arguments[0] != shape)
            or name not in {"reshape", "slice"}
            or (name == "slice" and stacked)
        ):
            return None
    if not stacked:
        return None
    rows, columns = (slice(*b) for b in bounds)
    return LazyStack(LazyMatrix(values, rows, columns, turned))
