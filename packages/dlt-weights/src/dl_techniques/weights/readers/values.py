"""The place of one tensor's numbers, and their lazy reading."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from dl_techniques.weights.errors import UnreadableFile

Array = npt.NDArray[Any]

# NumPy before 2.0 has no arrays of more axes.
_MOST_AXES: Final = 32


class Values(Protocol):
    """The numbers of one tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""

    @property
    def dtype(self) -> str:
        """The name of the storage dtype, such as `bfloat16`."""

    def read(self) -> Array:
        """The array; a memory map where the file allows one."""


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The dtype of a name, those of ml_dtypes included.

    Args:
        name: Such as `float32`, `bfloat16`, `float8_e4m3fn`.

    Raises:
        UnreadableFile: If it is absent.
    """
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        try:
            found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
            return found
        except AttributeError:
            raise UnreadableFile(f"unknown dtype {name!r}") from None


def require_shape(shape: Any) -> tuple[int, ...]:
    """Check the shape that a file states.

    Args:
        shape: Numbers.

    Raises:
        UnreadableFile: If they are no natural numbers, or more than an array can have.
    """
    found = tuple(shape)
    if len(found) > _MOST_AXES:
        raise UnreadableFile(f"a tensor has {len(found):,} axes; {_MOST_AXES} are read at most")
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in found):
        raise UnreadableFile("the shape of a tensor must be natural numbers")
    return found


@dataclass(frozen=True, eq=False)
class Held:
    """Values in memory."""

    array: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> str:
        """The name of the dtype."""
        return self.array.dtype.name

    def read(self) -> Array:
        """The array itself."""
        return self.array


@dataclass(frozen=True)
class Mapped:
    """Values that lie contiguously in a file."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: str
    fortran: bool = False
    swapped: bool = False
    """Whether the bytes of each number stand in the other order than this machine's."""

    @property
    def nbytes(self) -> int:
        """Return how many bytes the values take."""
        return math.prod(self.shape) * numpy_dtype(self.dtype).itemsize

    def read(self) -> Array:
        """A read-only memory map."""
        dtype = numpy_dtype(self.dtype)
        dtype = dtype.newbyteorder() if self.swapped else dtype
        if not math.prod(self.shape):
            return np.empty(self.shape, dtype)
        mapped = np.memmap(self.path, np.uint8, "r", self.offset, (self.nbytes,))
        order = "F" if self.fortran else "C"
        return np.ndarray(self.shape, dtype, buffer=mapped, order=order)  # type: ignore[arg-type]  # bytes of a map


@dataclass(frozen=True)
class Unread:
    """A tensor whose numbers this package does not read; its name and shape are known."""

    shape: tuple[int, ...]
    dtype: str
    reason: str

    def read(self) -> Array:
        """There are no numbers.

        Raises:
            UnreadableFile: Always.
        """
        raise UnreadableFile(self.reason)


@dataclass(frozen=True)
class Strided:
    """A view of storage that is not contiguous."""

    storage: Values
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """In elements."""

    @property
    def dtype(self) -> str:
        """The name of the dtype."""
        return self.storage.dtype

    def read(self) -> Array:
        """A read-only view."""
        flat = self.storage.read()
        steps = tuple(step * flat.itemsize for step in self.strides)
        return np.lib.stride_tricks.as_strided(flat, self.shape, steps, writeable=False)


@dataclass(frozen=True)
class Turned:
    """A matrix that the file holds transposed."""

    values: Values

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.values.shape[::-1]

    @property
    def dtype(self) -> str:
        """The name of the dtype."""
        return self.values.dtype

    def read(self) -> Array:
        """A transposed view."""
        return self.values.read().T
