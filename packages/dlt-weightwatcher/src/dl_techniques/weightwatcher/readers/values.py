"""Where the numbers of one weight are, and how to get them when they are wanted.

Every kind of values has a shape, a dtype name, `read()` for the array (a memory map where the
file allows one) and `identity()`, equal for two that are surely the same storage.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from dl_techniques.weightwatcher.readers.array import Array

if TYPE_CHECKING:
    from dl_techniques.weightwatcher.readers.hdf5_chunks import Chunks


class Values(Protocol):
    """The numbers of one weight."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""

    @property
    def dtype(self) -> str:
        """The name of the storage dtype, such as `bfloat16`."""

    def read(self) -> Array:
        """The array."""

    def identity(self) -> Hashable:
        """Equal for the same storage."""

    def fingerprint(self) -> str:
        """Changes when the numbers do; for results that are to be resumed."""


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The dtype of a name, those of ml_dtypes included.

    Args:
        name: Such as `float32`, `bfloat16`, `float8_e4m3fn`.

    Raises:
        ValueError: If there is none.
    """
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        try:
            found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
            return found
        except AttributeError:
            raise ValueError(f"unknown dtype {name!r}") from None


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

    def identity(self) -> Hashable:
        """Address, shape and strides."""
        place = self.array.__array_interface__["data"][0] if self.array.size else id(self.array)
        return (place, self.shape, self.array.strides, self.dtype)

    def fingerprint(self) -> str:
        """A digest of the numbers."""
        data = np.ascontiguousarray(self.array)
        return hashlib.blake2b(data.view(np.uint8).data, digest_size=16).hexdigest()


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

    def read(self) -> Array:
        """A read-only memory map."""
        dtype = numpy_dtype(self.dtype)
        dtype = dtype.newbyteorder() if self.swapped else dtype
        if not math.prod(self.shape):
            return np.empty(self.shape, dtype)
        order = "F" if self.fortran else "C"
        mapped = np.memmap(self.path, np.uint8, "r", self.offset, (self.nbytes,))
        return np.ndarray(self.shape, dtype, buffer=mapped, order=order)  # type: ignore[arg-type]  # bytes of a map

    @property
    def nbytes(self) -> int:
        """How many bytes the values take."""
        return math.prod(self.shape) * numpy_dtype(self.dtype).itemsize

    def identity(self) -> Hashable:
        """Its place in the file."""
        return (str(self.path.resolve()), self.offset, self.shape, self.dtype)

    def fingerprint(self) -> str:
        """Its place, and the size and time of the file."""
        return _file_fingerprint(self.path, str(self.offset), str(self.shape), self.dtype)


@dataclass(frozen=True)
class Stored:
    """A data set of an HDF5 file whose bytes cannot be mapped: it is stored in chunks.

    Args:
        path: The file.
        offset: Where the HDF5 file begins in it.
        name: The name of the data set.
        dtype: The name of its type.
        chunks: Where its parts are.
    """

    path: Path
    offset: int
    name: str
    dtype: str
    chunks: Chunks

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.chunks.shape

    def read(self) -> Array:
        """The whole data set."""
        with Window(self.path, self.offset) as window:
            array = self.chunks.read(window)
        return array.view(numpy_dtype(self.dtype)) if array.dtype.kind == "V" else array

    def identity(self) -> Hashable:
        """The file and the name in it."""
        return (str(self.path.resolve()), self.offset, self.name)

    def fingerprint(self) -> str:
        """The name, and the size and time of the file."""
        return _file_fingerprint(self.path, str(self.offset), self.name)


@dataclass(frozen=True)
class Scaled:
    """Quantized values with their scale: `values * factor` or `values / divisor`.

    Args:
        values: The quantized values.
        scale: The factors or divisors.
        divide: Whether they are divisors.
        axes: The axes of the values along which the scale runs, in its order; by default what
            the shapes say.

    Raises:
        ValueError: If the shapes do not fit.
    """

    values: Values
    scale: Values
    divide: bool = False
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _layout_of(self.scale.shape, self.shape, self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the quantized values."""
        return self.values.shape

    @property
    def scale_layout(self) -> tuple[int, ...]:
        """The shape of the scale beside the values: 1 along the axes that share a number."""
        return _layout_of(self.scale.shape, self.shape, self.axes).expand

    @property
    def dtype(self) -> str:
        """The dtype of the quantized values."""
        return self.values.dtype

    def read(self) -> Array:
        """The values in single precision."""
        scale = aligned(self.scale.read().astype(np.float32), self.shape, self.axes)
        numbers = self.values.read().astype(np.float32)
        return np.asarray(numbers / scale if self.divide else numbers * scale)

    def identity(self) -> Hashable:
        """That of both parts."""
        return (self.values.identity(), self.scale.identity())

    def fingerprint(self) -> str:
        """That of both parts."""
        return f"{self.values.fingerprint()}/{self.scale.fingerprint()}"


@dataclass(frozen=True)
class LowRank:
    """`base + scaling * left @ right`; without a base, the update alone."""

    left: Values
    right: Values
    scaling: float
    base: Values | None = None
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", (self.left.shape[0], *self.right.shape[1:]))

    @property
    def dtype(self) -> str:
        """The dtype of the factors."""
        return self.left.dtype

    def read(self) -> Array:
        """The product, in double precision."""
        left, right = (part.read().astype(np.float64) for part in (self.left, self.right))
        update = self.scaling * np.tensordot(left, right, axes=1)
        return update if self.base is None else self.base.read().astype(np.float64) + update

    def identity(self) -> Hashable:
        """That of all parts."""
        base = self.base.identity() if self.base else None
        return (self.left.identity(), self.right.identity(), self.scaling, base)

    def fingerprint(self) -> str:
        """That of all parts."""
        parts = [p.fingerprint() for p in (self.left, self.right, self.base) if p is not None]
        return "/".join([*parts, str(self.scaling)])


@dataclass(frozen=True)
class Difference:
    """What a model changed: its values minus those of the model that it came from."""

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

    def identity(self) -> Hashable:
        """That of both parts."""
        return (self.values.identity(), self.base.identity())

    def fingerprint(self) -> str:
        """That of both parts."""
        return f"{self.values.fingerprint()}-{self.base.fingerprint()}"


class Window(io.RawIOBase):
    """A file from an offset on, as a file: an HDF5 file inside a zip archive.

    Args:
        path: The file.
        offset: Where the inner file begins.
        size: How long it is; by default up to the end.
    """

    def __init__(self, path: Path, offset: int, size: int | None = None) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._offset = offset
        self.size = path.stat().st_size - offset if size is None else size
        self._file.seek(offset)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be positioned."""
        return True

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Move within the window.

        Args:
            position: Where to.
            whence: Relative to the start, the current position or the end.
        """
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self.size}[whence]
        return self._file.seek(self._offset + origin + position) - self._offset

    def tell(self) -> int:
        """The position in the window."""
        return self._file.tell() - self._offset

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, no further than the window's end.

        Args:
            buffer: Where to.
        """
        view = memoryview(buffer).cast("B")
        return self._file.readinto(view[: max(0, self.size - self.tell())])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def in_file(values: Values) -> bool:
    """Whether a fingerprint costs no reading of the numbers.

    Args:
        values: The values.
    """
    return isinstance(values, Mapped | Stored)


def aligned(scale: Array, shape: tuple[int, ...], axes: tuple[int, ...] | None = None) -> Array:
    """A scale per row, per column, per axes or per block, shaped to the values.

    Args:
        scale: The scale.
        shape: Of the values.
        axes: The axes along which the scale runs; by default what the shapes say.

    Raises:
        ValueError: If the shapes do not fit.
    """
    layout = _layout_of(tuple(scale.shape), shape, axes)
    scale = scale.reshape(layout.reshape).transpose(layout.transpose).reshape(layout.expand)
    for axis, (n, s) in enumerate(zip(shape, layout.expand, strict=True)):
        scale = scale if s in (1, n) else np.repeat(scale, n // s, axis)
    return scale


class _Layout(NamedTuple):
    """How a scale is turned into an array that broadcasts against the values."""

    reshape: tuple[int, ...]
    transpose: tuple[int, ...]
    expand: tuple[int, ...]
    """The shape after that: 1, the size of an axis, or its number of blocks."""


def _layout_of(
    scale: tuple[int, ...], shape: tuple[int, ...], axes: tuple[int, ...] | None
) -> _Layout:
    size = math.prod(scale)
    if axes is not None and size == math.prod(shape[axis] for axis in axes):
        kept = tuple(n if axis in axes else 1 for axis, n in enumerate(shape))
        order = tuple(sorted(range(len(axes)), key=axes.__getitem__))
        return _Layout(tuple(shape[axis] for axis in axes), order, kept)
    same = tuple(range(len(scale)))
    if size == 1:
        return _Layout(scale, same, tuple(1 for _ in shape))
    blocks = len(scale) == len(shape) and all(n % s == 0 for n, s in zip(shape, scale, strict=True))
    if axes is None and blocks:
        return _Layout(scale, same, scale)
    if axes is None and len(scale) == 1 and size in {shape[0], shape[-1]}:
        ones = (1,) * (len(shape) - 1)
        return _Layout(scale, same, (*ones, size) if size == shape[-1] else (size, *ones))
    raise ValueError(f"a scale of shape {scale} does not fit values of shape {shape}")


def _file_fingerprint(path: Path, *parts: str) -> str:
    facts = path.stat()
    text = "/".join([str(facts.st_size), str(facts.st_mtime_ns), *parts])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
