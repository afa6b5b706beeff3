"""Weights of HDF5 files: legacy Keras .h5, .weights.h5, and the latter inside .keras archives.

`pyfive` reads the structure in Python. It goes through a file object that hands out no more than
there is and ends loops, so that a damaged file ends in an exception, soon.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from dl_techniques.core.text import short_repr, size_text
from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers.values import (
    Held,
    Mapped,
    Values,
    numpy_dtype,
    require_shape,
)
from dl_techniques.weights.readers.zip_archive import data_offset, is_stored, opened_zip

_WEIGHTS: Final = "model.weights.h5"
_DEPTH: Final = 64
_OBJECTS: Final = 50_000
_CONTIGUOUS: Final = 1
# What describes the numbers takes a small part of a file; reading it many times over is a loop.
_STRUCTURE: Final = 1 << 26
_PER_READ: Final = 16
# Numbers hardly shrink: what grows more than this is a bomb.
_INFLATION: Final = 20
_SLACK: Final = 1 << 20
_OPTIMIZERS: Final = ("optimizer", "_optimizer", "optimizer_weights")


def read_h5(path: Path) -> dict[str, Values]:
    """Name -> values of all data sets, but for the optimizer's.

    The names are the paths in the file, without the `model_weights` and `:0` of legacy files:
    `block1/block1/kernel`, or `layers/dense/vars/0`.

    Args:
        path: The file.

    Raises:
        UnreadableFile: If it is damaged, or refers to other files.
    """
    return _read(path, 0, path.stat().st_size)


def read_keras(path: Path) -> dict[str, Values]:
    """Name -> values of the weights inside a .keras archive.

    Args:
        path: The file.

    Raises:
        UnreadableFile: If it is damaged, or its weights are compressed.
    """
    with opened_zip(path) as members:
        info = members.get(_WEIGHTS)
        if info is None or not is_stored(info):
            raise UnreadableFile(f"{path} holds no {_WEIGHTS} that is stored plainly.")
        return _read(path, data_offset(path, info), info.file_size)


def _read(path: Path, offset: int, size: int) -> dict[str, Values]:
    import pyfive

    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of types that are not read, which is checked here
            bounded = _Bounded(file, offset, size)
            opened = pyfive.File(bounded)
            found: dict[str, Values] = {}
            for name, dataset in _datasets(opened):
                if not name.startswith(_OPTIMIZERS):
                    key = name.removeprefix("model_weights/").removesuffix(":0")
                    found[key] = _values(path, dataset, offset, size)
            return found
    except UnreadableFile as error:
        raise UnreadableFile(f"{path} cannot be read: {error}.") from error
    # Damage shows as AssertionError, struct.error, KeyError, RecursionError, MemoryError, ...
    except Exception as error:
        text = short_repr(str(error) or type(error).__name__)
        raise UnreadableFile(f"{path} is damaged: {text}") from error


def _datasets(root: Any) -> Iterator[tuple[str, Any]]:
    import pyfive

    pending: list[tuple[str, Any]] = [("", root)]
    visits = 0
    while pending:
        prefix, group = pending.pop()
        for key in group:
            visits += 1
            name = f"{prefix}/{key}" if prefix else key
            if visits > _OBJECTS or name.count("/") > _DEPTH:
                raise UnreadableFile("it is nested too deep or holds too much")
            item = group.get_lazy_view(key)
            if isinstance(item, pyfive.Dataset):
                yield name, item
            elif isinstance(item, pyfive.Group):
                pending.append((name, item))
            else:
                raise UnreadableFile(f"{short_repr(name)} is a link to nothing, or a type")


def _values(path: Path, dataset: Any, offset: int, size: int) -> Values:
    shape = require_shape(int(n) for n in dataset.shape)
    dtype = np.dtype(dataset.dtype)
    if dtype.kind == "V" and dtype.itemsize == 2 and _stated(dataset) == "bfloat16":
        name = "bfloat16"  # Keras writes it as bytes, and says so beside them
    elif dtype.kind in "fiub" and dtype.isnative:
        name = dtype.name
    else:
        raise UnreadableFile(f"{short_repr(dataset.name)} holds {short_repr(str(dtype))}")
    nbytes = math.prod(shape) * numpy_dtype(name).itemsize
    storage = dataset.id
    if not nbytes:
        return Held(np.empty(shape, numpy_dtype(name)))
    if storage.layout_class == _CONTIGUOUS:
        begin = storage.data_offset
        if begin + nbytes > size:
            raise UnreadableFile("it is cut off")
        return Mapped(path, offset + begin, shape, name)
    if nbytes > _INFLATION * size + _SLACK:
        raise UnreadableFile(f"{short_repr(dataset.name)} would take {size_text(nbytes)}")
    return Held(np.asarray(dataset[()]).view(numpy_dtype(name)))


def _stated(dataset: Any) -> str:
    value = dataset.attrs.get("dtype", "")
    return value.decode() if isinstance(value, bytes) else str(value)


class _Bounded(io.RawIOBase):
    """A part of a file as a file, which hands out no more than there is, and not without end.

    Args:
        file: The file.
        offset: Where the part begins.
        size: How long it is.
    """

    def __init__(self, file: Any, offset: int, size: int) -> None:
        super().__init__()
        self._file, self._offset, self._size = file, offset, size
        self._left = min(4 * size, _STRUCTURE) + size + _SLACK
        self._file.seek(offset)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be positioned."""
        return True

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Move; beyond the end there is nothing.

        Args:
            position: Where to.
            whence: Relative to the start, the current position or the end.
        """
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        target = min(max(origin + position, 0), self._size)
        return int(self._file.seek(self._offset + target)) - self._offset

    def tell(self) -> int:
        """The position."""
        return int(self._file.tell()) - self._offset

    def read(self, count: int = -1) -> bytes:
        """Read as many bytes as are asked for and are there.

        Args:
            count: How many.
        """
        there = max(0, self._size - self.tell())
        count = there if count is None or count < 0 else min(count, there)
        self._left -= count + _PER_READ
        if self._left < 0:
            raise UnreadableFile("its structure is larger than the file")
        data: bytes = self._file.read(count)
        return data
