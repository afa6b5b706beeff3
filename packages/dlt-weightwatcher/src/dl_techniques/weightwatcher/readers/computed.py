"""Values that are computed from others: low-rank updates, differences, products."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np

from dl_techniques.weightwatcher.readers.array import Array
from dl_techniques.weightwatcher.readers.values import Values, block_of

_BLOCK: Final = 1 << 19


@dataclass(frozen=True)
class LowRank:
    """`base + scaling * left @ right`; without a base, the update alone.

    Args:
        left: Shape (out, r).
        right: Shape (r, in), or (r, in, *taps) for a convolution.
        scaling: The factor.
        base: The summand.
        turned: Whether base and update are stored as (in, out).
    """

    left: Values
    right: Values
    scaling: float
    base: Values | None = None
    turned: bool = False
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.left.shape[0], *self.right.shape[1:])
        object.__setattr__(self, "shape", shape[::-1] if self.turned else shape)

    @property
    def dtype(self) -> str:
        """The dtype of the factors."""
        return self.left.dtype

    @property
    def rank(self) -> int:
        """The most that the update can have."""
        return self.left.shape[1]

    def read(self) -> Array:
        """The product, in double precision."""
        left, right = (part.read().astype(np.float64) for part in (self.left, self.right))
        update = self.scaling * np.tensordot(left, right, axes=1)
        update = update.T if self.turned else update
        return update if self.base is None else self.base.read().astype(np.float64) + update

    def block(self, rows: slice, columns: slice) -> Array:
        """A part of a matrix, in double precision.

        Args:
            rows: Which rows.
            columns: Which columns.
        """
        left, right = self.factors(rows, columns)
        update = left @ right
        if self.base is None:
            return update
        update += block_of(self.base, rows, columns)
        return update

    def factors(self, rows: slice, columns: slice) -> tuple[Array, Array]:
        """Two matrices whose product is a part of the update, in double precision.

        Args:
            rows: Which rows.
            columns: Which columns.
        """
        left, right = self.left.read(), self.right.read()
        if self.turned:
            left, right = right.T, left.T
        return self.scaling * left[rows].astype(np.float64), right[:, columns].astype(np.float64)

    def identity(self) -> Hashable:
        """Sum over all parts."""
        base = self.base.identity() if self.base else None
        return (self.left.identity(), self.right.identity(), self.scaling, base, self.turned)

    def fingerprint(self) -> str:
        """Sum over all parts."""
        parts = [p.fingerprint() for p in (self.left, self.right, self.base) if p is not None]
        return "/".join([*parts, str(self.scaling), str(self.turned)])


@dataclass(frozen=True)
class Difference:
    """A model's changes: its values minus those of the model that it came from."""

    values: Values
    base: Values

    @property
    def shape(self) -> tuple[int, ...]:
        """The common shape."""
        return self.values.shape

    @property
    def dtype(self) -> str:
        """The dtype of the model's own values."""
        return self.values.dtype

    def read(self) -> Array:
        """The difference, in double precision."""
        return self.values.read().astype(np.float64) - self.base.read().astype(np.float64)

    def block(self, rows: slice, columns: slice) -> Array:
        """A part of a matrix, in double precision.

        Args:
            rows: Which rows.
            columns: Which columns.
        """
        first, second = (block_of(part, rows, columns) for part in (self.values, self.base))
        return first.astype(np.float64) - second.astype(np.float64)

    def identity(self) -> Hashable:
        """Sum over both parts."""
        return (self.values.identity(), self.base.identity())

    def fingerprint(self) -> str:
        """Sum over both parts."""
        return f"{self.values.fingerprint()}-{self.base.fingerprint()}"


@dataclass(frozen=True)
class Leading:
    """The part of values that comes first along each axis."""

    values: Values
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """The dtype of the whole."""
        return self.values.dtype

    def read(self) -> Array:
        """The part."""
        return self.values.read()[tuple(slice(n) for n in self.shape)]

    def block(self, rows: slice, columns: slice) -> Array:
        """A part of it.

        Args:
            rows: Which rows.
            columns: Which columns.
        """
        (r0, r1, _), (c0, c1, _) = rows.indices(self.shape[0]), columns.indices(self.shape[1])
        return block_of(self.values, slice(r0, r1), slice(c0, c1))

    def identity(self) -> Hashable:
        """Return that of the whole, and the shape."""
        return (self.values.identity(), self.shape)

    def fingerprint(self) -> str:
        """Return that of the whole, and the shape."""
        return f"{self.values.fingerprint()}[{self.shape}]"


@dataclass(frozen=True)
class Computed:
    """Numbers that a function makes of other values.

    Args:
        function: Takes the arrays of the parts; a function of a module, or a `partial` of one, so
            that a worker in another process knows it.
        parts: The other values.
        shape: Of the result.
        dtype: The name of the dtype in storage.
        blockwise: Whether the result is as large as each part, element by element.
    """

    function: Callable[..., Array]
    parts: tuple[Values, ...]
    shape: tuple[int, ...]
    dtype: str
    blockwise: bool = False

    def read(self) -> Array:
        """The result."""
        return self.function(*(part.read() for part in self.parts))

    def block(self, rows: slice, columns: slice) -> Array:
        """A part of a matrix.

        Args:
            rows: Which rows.
            columns: Which columns.
        """
        if self.blockwise:
            return self.function(*(block_of(part, rows, columns) for part in self.parts))
        return self.read()[rows, columns]

    def identity(self) -> Hashable:
        """Sum over the function and all parts."""
        return (_name(self.function), tuple(part.identity() for part in self.parts))

    def fingerprint(self) -> str:
        """Sum over the function and all parts."""
        return "/".join([_name(self.function), *(part.fingerprint() for part in self.parts)])


def _name(function: Any) -> str:
    if isinstance(function, partial):
        return f"{_name(function.func)}{function.args}{sorted(function.keywords.items())}"
    return f"{function.__module__}.{function.__qualname__}"


@dataclass(frozen=True)
class NormRatio:
    """Magnitudes over the norms of a matrix along one axis, as DoRA scales it.

    Args:
        magnitude: As many numbers as the axis has.
        matrix: Two axes.
        axis: The one that stays.
    """

    magnitude: Values
    matrix: Values
    axis: int

    @property
    def shape(self) -> tuple[int, ...]:
        """One number for each row or column, beside the matrix."""
        n = self.matrix.shape[self.axis]
        return (n, 1) if self.axis == 0 else (1, n)

    @property
    def dtype(self) -> str:
        """Double precision."""
        return "float64"

    def read(self) -> Array:
        """The ratios, from norms that are summed over blocks."""
        n, across = self.matrix.shape[self.axis], self.matrix.shape[1 - self.axis]
        step = max(1, _BLOCK // max(1, across))
        norms = np.empty(n)
        for first in range(0, n, step):
            part, whole = slice(first, min(n, first + step)), slice(0, across)
            index = (part, whole) if self.axis == 0 else (whole, part)
            block = block_of(self.matrix, *index).astype(np.float64)
            norms[part] = np.linalg.norm(block, axis=1 - self.axis)
        found = self.magnitude.read().astype(np.float64).ravel() / np.where(norms > 0, norms, 1)
        return found.reshape(self.shape)

    def identity(self) -> Hashable:
        """Sum over both parts."""
        return (self.magnitude.identity(), self.matrix.identity(), self.axis)

    def fingerprint(self) -> str:
        """Sum over both parts."""
        return f"{self.magnitude.fingerprint()}|{self.matrix.fingerprint()}|{self.axis}"
