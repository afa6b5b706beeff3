"""The storages of a PyTorch checkpoint: bytes that tensors are views of."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dl_techniques.weightwatcher.readers.array import Array
from dl_techniques.weightwatcher.readers.values import Held, Mapped, Values, numpy_dtype
from dl_techniques.weightwatcher.readers.weight import SourceError


class Storage:
    """Bytes of one type.

    Args:
        path: The file.
        dtype: The name of the type.
        begin: Where the bytes are in the file; None while that is not known, or if they are packed.
        size: How many bytes.
        info: The member of the archive that they are packed in.
    """

    def __init__(
        self,
        path: Path,
        dtype: str,
        begin: int | None,
        size: int,
        info: zipfile.ZipInfo | None = None,
    ) -> None:
        self.path, self.dtype, self.begin, self.size, self.info = path, dtype, begin, size, info

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return int(numpy_dtype(self.dtype).itemsize)

    def view(self, first: Any, length: Any) -> StorageView:
        """A part of the storage.

        Args:
            first: The first of its numbers.
            length: How many.
        """
        if type(first) is not int or type(length) is not int or min(first, length) < 0:
            raise SourceError("a view of a storage that is no part of it")
        return StorageView(self, first)

    def part(
        self, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str | None
    ) -> Values:
        """The numbers of a tensor.

        Args:
            offset: The first number.
            shape: The shape.
            strides: How far apart numbers are along each axis.
            dtype: Their type; by default that of the storage.

        Raises:
            SourceError: If the tensor reaches beyond the storage.
            ValueError: If it repeats numbers.
        """
        dtype = dtype or self.dtype
        itemsize = numpy_dtype(dtype).itemsize
        if 0 in shape:
            return Held(np.empty(shape, numpy_dtype(dtype)))
        reach = sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
        if min((offset, *strides)) < 0 or (offset + reach) * itemsize > self.size:
            raise SourceError("a tensor reaches beyond its storage.")
        if math.prod(shape) * itemsize > self.size:
            # Expanded: a small file can so describe a matrix of any size.
            raise ValueError("its numbers are repeated beyond its storage")
        if self.begin is not None:
            begin = self.begin + offset * itemsize
            if strides == tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape))):
                return Mapped(self.path, begin, shape, dtype)
            flat = Mapped(self.path, begin, (reach,), dtype).read()
        elif self.info is not None:
            with zipfile.ZipFile(self.path) as archive:
                flat = np.frombuffer(archive.read(self.info), numpy_dtype(dtype))[offset:]
        else:
            raise SourceError("a storage without numbers")
        steps = tuple(s * itemsize for s in strides)
        view: Array = np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False)
        return Held(view)


class StorageView:
    """A storage from one of its numbers on.

    Args:
        storage: The storage.
        first: The number.
    """

    def __init__(self, storage: Storage, first: int) -> None:
        self._storage, self._first = storage, first
        self.dtype = storage.dtype

    def part(
        self, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str | None
    ) -> Values:
        """The numbers of a tensor; see `Storage.part`.

        Args:
            offset: The first number.
            shape: The shape.
            strides: How far apart numbers are along each axis.
            dtype: Their type.
        """
        return self._storage.part(self._first + offset, shape, strides, dtype)
