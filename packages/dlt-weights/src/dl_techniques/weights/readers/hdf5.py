"""The data sets of an HDF5 file that nobody vouches for.

`pyfive` parses the structure in Python, so that a damaged file ends in an exception and never in
a crash. It trusts the sizes that the file states; here everything it reads goes through a file
object that hands out no more than there is, and names, shapes, types and chunks are checked before
any number is read.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pyfive
from pyfive.core import UNDEFINED_ADDRESS
from pyfive.dataobjects import DataObjects
from pyfive.p5t import (
    P5EnumType,
    P5FloatType,
    P5IntegerType,
    P5OpaqueType,
    P5SequenceType,
)

from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers.hdf5_chunks import Chunks, chunks_of
from dl_techniques.weights.readers.limits import fault_of_shape
from dl_techniques.weights.readers.natural_order import natural
from dl_techniques.weights.readers.values import Array

_DEPTH: Final = 64
_OBJECTS: Final = 100_000
_NAME: Final = 1024
# The structure of a file takes a small part of it; reading it twice over is a loop.
_METADATA: Final = 1 << 25
_METADATA_SLACK: Final = 1 << 18
_PER_READ: Final = 16
_ATTRIBUTE_VALUES: Final = 1 << 16
_TREE_DEPTH: Final = 32
_TREE_HEADER: Final = struct.Struct("<4s8xH")
_DATATYPE, _EXTERNAL_FILES, _VIRTUAL = 3, 7, 3
_CONTIGUOUS, _CHUNKED, _COMPACT = 1, 2, 0
_NEWEST: Final = 4
_FLOATS: Final = {
    # bit offset, precision, exponent at, its bits, mantissa at, its bits, bias
    (0, 16, 10, 5, 0, 10, 15): "float16",
    (0, 16, 7, 8, 0, 7, 127): "bfloat16",
    (0, 32, 23, 8, 0, 23, 127): "float32",
    (0, 64, 52, 11, 0, 52, 1023): "float64",
}


class Extent(NamedTuple):
    """Numbers that lie contiguously in the file."""

    shape: tuple[int, ...]
    dtype: str
    """As NumPy spells it, byte order included."""
    offset: int


class Dataset(NamedTuple):
    """One data set, checked."""

    name: str
    place: int
    """The address of its header, which tells the order of writing."""
    shape: tuple[int, ...]
    dtype: str
    """The name of the type, such as `bfloat16`."""
    content: Extent | Chunks | Array | str
    """Where the numbers are, or why they cannot be read."""


class Content(NamedTuple):
    """The content of a file."""

    datasets: list[Dataset]
    attributes: dict[str, dict[str, Any]]
    """Those of groups, by the name of the group; the root's name is empty."""


def read_content(file: Any, size: int, label: str) -> Content:
    """List the data sets of a file.

    Args:
        file: The file, open for reading.
        size: How long it is.
        label: How messages call it.

    Raises:
        UnreadableFile: If it is damaged, holds links, or refers to other files.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pyfive cannot read is accounted for below
            return _content(_Bounded(file, size), size)
    except UnreadableFile as error:
        raise UnreadableFile(f"{label}: {error}") from error
    # Damage shows as AssertionError, struct.error, KeyError, RecursionError, MemoryError, ...
    except Exception as error:
        text = str(error) or type(error).__name__
        raise UnreadableFile(f"{label} is damaged: {text:.200}") from error


def _content(file: _Bounded, size: int) -> Content:
    opened = _File(file)
    if opened.userblock_size:
        raise UnreadableFile("the file begins with a block that is no HDF5")
    content = Content([], {})
    seen: set[int] = set()
    root = opened._dataobjects
    for name, address, objects in _objects(opened, root, "", seen, 0):
        if objects.is_dataset:
            content.datasets.append(_dataset(file, name, address, objects, size))
        else:
            content.attributes[name] = dict(objects.get_attributes())
    content.attributes[""] = dict(root.get_attributes())
    return content


def _objects(
    file: _File, group: Any, prefix: str, seen: set[int], depth: int
) -> Iterator[tuple[str, int, Any]]:
    """All groups and data sets, once each, by hard links only, in the order of natural names."""
    if depth > _DEPTH or len(seen) > _OBJECTS:
        raise UnreadableFile("the file is nested too deep or holds too much")
    links = group.get_links()
    for key in sorted(links, key=natural):
        name = f"{prefix}/{key}" if prefix else key
        if len(key) > _NAME:
            raise UnreadableFile("the file has a name that is too long")
        address = links[key]
        if not isinstance(address, int):
            raise UnreadableFile(f"{name} is a link to something else")
        if address in seen:
            continue
        seen.add(address)
        objects = file._get_dataobjects(address)
        yield name, address, objects
        if not objects.is_dataset:
            yield from _objects(file, objects, name, seen, depth + 1)


def _dataset(file: _Bounded, name: str, address: int, objects: Any, size: int) -> Dataset:
    if objects.find_msg_type(_EXTERNAL_FILES) or objects.get_id_storage_params()[1] == _VIRTUAL:
        raise UnreadableFile(f"{name} keeps its content in another file")
    declared = objects.shape
    shape = tuple(declared or ())
    attributes = objects.get_attributes()
    dtype, raw = "unknown", None
    try:
        dtype, raw = _types(objects, attributes)
        fault = "it has no shape" if declared is None else fault_of_shape(shape)
        if fault is not None:
            raise ValueError(fault)
        return Dataset(name, address, shape, dtype, _place(file, objects, shape, raw, size))
    except UnreadableFile:
        raise
    # pyfive says of some layouts and types that it does not read them.
    except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
        return Dataset(name, address, shape, dtype, str(error))


def _types(objects: Any, attributes: dict[str, Any]) -> tuple[str, np.dtype[Any]]:
    """The name of the type, and the type of the stored bytes."""
    ptype = objects.ptype
    raw = np.dtype(ptype.dtype) if not isinstance(ptype, P5SequenceType) else np.dtype("O")
    offset = objects.find_msg_type(_DATATYPE)[0]["offset_to_message"]
    if isinstance(ptype, P5FloatType):
        layout = struct.unpack_from("<HHBBBBI", objects.msg_data, offset + 8)
        name = _FLOATS.get(layout)
        if name is None or raw.itemsize * 8 != layout[1]:
            raise ValueError("floating-point numbers of an unusual form")
        return name, np.dtype("V2") if name == "bfloat16" else raw
    if isinstance(ptype, P5IntegerType):
        if struct.unpack_from("<HH", objects.msg_data, offset + 8) != (0, 8 * raw.itemsize):
            raise ValueError("integers of an unusual form")
        return raw.name, raw
    if isinstance(ptype, P5EnumType) and raw.itemsize == 1 and raw.kind in "iu":
        return "bool", raw
    if isinstance(ptype, P5OpaqueType):
        stated = attributes.get("dtype", "")
        name = stated.decode() if isinstance(stated, bytes) else str(stated)
        # Keras writes bfloat16 as bytes, and says so beside them.
        if name == "bfloat16" and raw.itemsize == 2:
            return name, np.dtype("V2")
    raise ValueError("not an array of numbers")


def _place(
    file: _Bounded, objects: Any, shape: tuple[int, ...], raw: np.dtype[Any], size: int
) -> Extent | Chunks | Array:
    _, layout, offset = objects.get_id_storage_params()
    nbytes = math.prod(shape) * raw.itemsize
    if layout == _CHUNKED and objects.msg_data[offset - 2] == _NEWEST:
        raise ValueError("stored in chunks as libver='latest' writes them, which are not read")
    if layout == _CHUNKED:
        return chunks_of(file, objects, shape, raw, size)
    if not nbytes:
        return np.empty(shape, raw)
    if layout == _CONTIGUOUS:
        (begin,) = struct.unpack_from("<Q", objects.msg_data, offset)
        if begin == UNDEFINED_ADDRESS:
            raise ValueError("its numbers were never written")
        if begin + nbytes > size:
            raise UnreadableFile("the file is cut off")
        return Extent(shape, raw.str, begin)
    if layout != _COMPACT:
        raise ValueError("stored in a layout that is not read")
    (stored,) = struct.unpack_from("<H", objects.msg_data, offset)
    if stored < nbytes:
        raise ValueError("it holds less than it declares")
    return np.frombuffer(objects.msg_data, raw, math.prod(shape), offset + 2).reshape(shape)


class _Objects(DataObjects):  # type: ignore[misc]  # of pyfive
    """A header whose attributes are read with a bound on their number."""

    def _attr_value(self, ptype: Any, buf: Any, count: int, offset: int) -> Any:
        # Sequences may nest, each with a number of its own.
        if count > _ATTRIBUTE_VALUES or isinstance(ptype, P5SequenceType):
            raise UnreadableFile("the file has an attribute that is no text and no number")
        return super()._attr_value(ptype, buf, count, offset)


class _File(pyfive.File):  # type: ignore[misc]  # of pyfive
    """A file whose headers are `_Objects`."""

    def _get_dataobjects(self, obj_addr: int) -> Any:
        cached = self._dataobjects_cache.get(obj_addr)
        if cached is None:
            cached = _Objects(self._fh, obj_addr, global_heaps=self._global_heaps)
            self._dataobjects_cache[obj_addr] = cached
        return cached


class _Bounded(io.RawIOBase):
    """A file that hands out no more than it has, and its structure not many times over.

    Args:
        file: The file.
        size: How long it is.
    """

    def __init__(self, file: Any, size: int) -> None:
        super().__init__()
        self._file, self._size = file, size
        self._left = min(4 * size + _METADATA_SLACK, _METADATA)

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Move; beyond the end there is nothing.

        Args:
            position: Where to.
            whence: Relative to the start or the end.
        """
        target = position + (self._size if whence == io.SEEK_END else 0)
        return int(self._file.seek(min(target, self._size)))

    def tell(self) -> int:
        """The position."""
        return int(self._file.tell())

    def read(self, count: int = -1) -> bytes:
        """Read as many bytes as are asked for and are there.

        Args:
            count: How many.
        """
        there = max(0, self._size - self.tell())
        count = there if count < 0 else min(count, there)
        self._left -= count + _PER_READ
        if self._left < 0:
            raise UnreadableFile("the structure of the file is larger than the file")
        data: bytes = self._file.read(count)
        if data[:4] == b"BTHD" and len(data) >= _TREE_HEADER.size:
            depth = _TREE_HEADER.unpack_from(data)[1]
            if depth > _TREE_DEPTH:
                raise UnreadableFile(f"a tree of the file is {depth} levels deep")
        return data
