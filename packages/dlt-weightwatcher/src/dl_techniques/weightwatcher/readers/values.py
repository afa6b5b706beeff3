"""The place of one weight's numbers, and their lazy reading.

Every kind of values has a shape, a dtype name, `read()` for the array (a memory map where the
file allows one) and `identity()`, equal for two that are surely the same storage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from dl_techniques.weights.readers import values
from dl_techniques.weights.readers.values import numpy_dtype
from dl_techniques.weights.readers.window import Window
from dl_techniques.weightwatcher.readers.array import Array

if TYPE_CHECKING:
    from dl_techniques.weights.readers.hdf5_chunks import Chunks


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


@dataclass(frozen=True, eq=False)
class Held(values.Held):
    """Values in memory."""

    def identity(self) -> Hashable:
        """Address, shape and strides."""
        place = self.array.__array_interface__["data"][0] if self.array.size else id(self.array)
        return (place, self.shape, self.array.strides, self.dtype)

    def fingerprint(self) -> str:
        """A digest of the numbers."""
        data = np.ascontiguousarray(self.array)
        return hashlib.blake2b(data.view(np.uint8).data, digest_size=16).hexdigest()


@dataclass(frozen=True)
class Mapped(values.Mapped):
    """Values that lie contiguously in a file."""

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


def adopted(found: values.Values) -> Values:
    """Values of a reader of files, with an identity and a fingerprint.

    Args:
        found: What the reader returned.
    """
    if isinstance(found, values.Mapped):
        return Mapped(**vars(found))
    return Held(found.read())


def in_file(found: Values) -> bool:
    """Tell whether a fingerprint needs no reading of the numbers.

    Args:
        found: The values.
    """
    return isinstance(found, Mapped | Stored)


def block_of(whole: Values, rows: slice, columns: slice) -> Array:
    """A part of a matrix; of values that are computed, only what is needed is.

    Args:
        whole: Two axes.
        rows: Which rows.
        columns: Which columns.
    """
    block = getattr(whole, "block", None)
    found: Array = whole.read()[rows, columns] if block is None else block(rows, columns)
    return found


def _file_fingerprint(path: Path, *parts: str) -> str:
    facts = path.stat()
    text = "/".join([str(facts.st_size), str(facts.st_mtime_ns), *parts])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
