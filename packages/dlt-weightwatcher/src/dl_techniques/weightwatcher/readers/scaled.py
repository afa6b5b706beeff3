"""Quantized values with their scale."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dl_techniques.weightwatcher.readers.array import Array
from dl_techniques.weightwatcher.readers.values import Values, block_of

Index = tuple[slice, ...]


@dataclass(frozen=True)
class Scaled:
    """Quantized values with their scale: `(values - zero) * factor * scale`, or divided by it.

    Args:
        values: The quantized values.
        scale: The factors or divisors.
        divide: Whether they are divisors.
        axes: The axes of the values along which the scale runs, in its order; by default it has
            the axes of the values.
        blocks: How many values along each axis share a scale; the last block may be cut.
        zero: The code of zero, laid out as the scale.
        factor: A further factor.

    Raises:
        ValueError: If the shapes do not fit.
    """

    values: Values
    scale: Values
    divide: bool = False
    axes: tuple[int, ...] | None = None
    blocks: tuple[int, ...] | None = None
    zero: Values | None = None
    factor: float = 1.0

    def __post_init__(self) -> None:
        layout_of(self.scale.shape, self.shape, self.axes, self.blocks)
        if self.zero is not None:
            layout_of(self.zero.shape, self.shape, self.axes, self.blocks)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the quantized values."""
        return self.values.shape

    @property
    def scale_layout(self) -> tuple[int, ...]:
        """The shape of the scale beside the values: 1 along the axes that share a number."""
        return layout_of(self.scale.shape, self.shape, self.axes, self.blocks).expand

    @property
    def dtype(self) -> str:
        """The dtype of the quantized values."""
        return self.values.dtype

    def read(self) -> Array:
        """The values in single precision, or in double if the scale is."""
        return self._numbers(tuple(slice(0, n) for n in self.shape), self.values.read())

    def block(self, rows: slice, columns: slice) -> Array:
        """A part of a matrix.

        Args:
            rows: Which rows.
            columns: Which columns.
        """
        return self._numbers((rows, columns), block_of(self.values, rows, columns))

    def _numbers(self, index: Index, values: Array) -> Array:
        scale = self.scale.read()
        double = np.float64 in {scale.dtype, values.dtype}
        dtype = np.float64 if double else np.float32
        numbers: Array = values.astype(dtype)
        if self.zero is not None:
            numbers -= self._beside(self.zero.read().astype(dtype), index)
        beside = self._beside(scale.astype(dtype), index)
        numbers = np.divide(numbers, beside, out=numbers) if self.divide else numbers * beside
        return numbers if self.factor == 1.0 else numbers * dtype(self.factor)

    def _beside(self, scale: Array, index: Index) -> Array:
        """The scale of a part of the values."""
        layout = layout_of(tuple(scale.shape), self.shape, self.axes, self.blocks)
        found = scale.reshape(layout.reshape).transpose(layout.transpose).reshape(layout.expand)
        for axis, (part, n) in enumerate(zip(index, self.shape, strict=True)):
            if layout.expand[axis] == 1:
                continue
            first, last, _ = part.indices(n)
            places = np.arange(first, last) // layout.blocks[axis]
            found = np.take(found, places, axis)
        return found

    def identity(self) -> Hashable:
        """Sum over all parts."""
        zero = self.zero.identity() if self.zero is not None else None
        how = (self.divide, self.axes, self.blocks, self.factor)
        return (self.values.identity(), self.scale.identity(), zero, how)

    def fingerprint(self) -> str:
        """Sum over all parts."""
        parts = [p.fingerprint() for p in (self.values, self.scale, self.zero) if p is not None]
        return "/".join([*parts, str((self.divide, self.axes, self.blocks, self.factor))])


class Layout(NamedTuple):
    """Transform of a scale into an array that stands beside the values."""

    reshape: tuple[int, ...]
    transpose: tuple[int, ...]
    expand: tuple[int, ...]
    """The shape after that: 1, the size of an axis, or its number of blocks."""
    blocks: tuple[int, ...]
    """How many values of each axis share a number."""


def layout_of(
    scale: tuple[int, ...],
    shape: tuple[int, ...],
    axes: tuple[int, ...] | None = None,
    blocks: tuple[int, ...] | None = None,
) -> Layout:
    """Find how a scale stands beside the values.

    Args:
        scale: Its shape.
        shape: That of the values.
        axes: The axes along which it runs, in its order.
        blocks: How many values along each axis share a number.

    Raises:
        ValueError: If the shapes do not fit, or do not say it.
    """
    size, single = math.prod(scale), tuple(1 for _ in shape)
    same = tuple(range(len(scale)))
    if blocks is not None:
        counts = tuple(-(-n // b) for n, b in zip(shape, blocks, strict=True))
        if size == math.prod(counts):
            return Layout(counts, tuple(range(len(counts))), counts, blocks)
        raise ValueError(f"a scale of shape {scale} does not fit blocks of {blocks} in {shape}")
    if axes is not None and size == math.prod(shape[axis] for axis in axes):
        kept = tuple(n if axis in axes else 1 for axis, n in enumerate(shape))
        order = tuple(sorted(range(len(axes)), key=axes.__getitem__))
        return Layout(tuple(shape[axis] for axis in axes), order, kept, single)
    if size == 1:
        return Layout(scale, same, single, single)
    if axes is None and len(scale) == len(shape):
        if all(s in (1, n) for n, s in zip(shape, scale, strict=True)):
            return Layout(scale, same, scale, single)
        if all(n % s == 0 for n, s in zip(shape, scale, strict=True)):
            own = tuple(n // s if s > 1 else 1 for n, s in zip(shape, scale, strict=True))
            return Layout(scale, same, scale, own)
    raise ValueError(f"a scale of shape {scale} does not fit values of shape {shape}")
