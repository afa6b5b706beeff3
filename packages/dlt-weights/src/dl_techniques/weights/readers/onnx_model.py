"""ONNX files as nodes and tensors, without the package `onnx`: the names are those of its schema.

Numbers stay in the file, or in the file that it refers to, until they are read.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

import numpy as np

from dl_techniques.core.text import short_repr
from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers import protobuf as pb
from dl_techniques.weights.readers.limits import fault_of_shape, shown
from dl_techniques.weights.readers.values import (
    Array,
    Held,
    Mapped,
    Unread,
    Values,
    numpy_dtype,
    require_shape,
)

# TensorProto.DataType.
_DTYPES: Final = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    24: "float8_e8m0fnu",
}
_PACKED: Final = {21: "uint4", 22: "int4"}
_ODD: Final = {8: "string", 23: "float4_e2m1fn", 25: "uint2", 26: "int2"}
# Fields of TensorProto that hold numbers, with the form of those of fixed size.
_FLOATS, _INT32S, _STRINGS, _INT64S, _RAW, _DOUBLES, _UINT64S = 4, 5, 6, 7, 9, 10, 11
_FIXED: Final = {_FLOATS: "<f4", _DOUBLES: "<f8"}
_EXTERNAL: Final = 1
_NODES: Final = 1_000_000
_DEPTH: Final = 24


@dataclass
class Attribute:
    """A setting of a node, as far as it is a whole number, a tensor or a graph."""

    name: str = ""
    i: int = 0
    t: Tensor | None = None
    g: Graph | None = None
    graphs: list[Graph] = field(default_factory=list)


@dataclass
class Node:
    """A node: what it takes and gives."""

    op_type: str = ""
    name: str = ""
    input: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    attribute: list[Attribute] = field(default_factory=list)
    metadata_props: dict[str, str] = field(default_factory=dict)


@dataclass
class Sparse:
    """A tensor of which the file holds only what is not zero."""

    name: str = ""
    dims: list[int] = field(default_factory=list)


@dataclass
class Graph:
    """A graph, or a function, which has a name and no initializers."""

    name: str = ""
    node: list[Node] = field(default_factory=list)
    initializer: list[Tensor] = field(default_factory=list)
    sparse_initializer: list[Sparse] = field(default_factory=list)


@dataclass
class Model:
    """A file."""

    graph: Graph = field(default_factory=Graph)
    functions: list[Graph] = field(default_factory=list)


@dataclass(frozen=True)
class Nibbles:
    """Numbers of four bits, two in a byte, the lower half first; read as bytes."""

    codes: Values
    shape: tuple[int, ...]
    dtype: str

    def read(self) -> Array:
        """One byte a number."""
        return unpacked(self.shape, self.dtype, self.codes.read())


def unpacked(shape: tuple[int, ...], dtype: str, codes: Array) -> Array:
    """Return numbers of four bits as bytes.

    Args:
        shape: Of the numbers.
        dtype: `int4` or `uint4`.
        codes: Two numbers in each byte.
    """
    numbers = np.stack([codes & 15, codes >> 4], -1).ravel()[: math.prod(shape)].reshape(shape)
    if dtype == "uint4":
        return numbers
    return (numbers.astype(np.int8) ^ 8) - np.int8(8)


def read_model(path: Path) -> Model:
    """Read the structure of a file.

    Args:
        path: The file; external data lies in the same folder.

    Raises:
        UnreadableFile: If it is damaged, or no ONNX model.
    """
    if not path.stat().st_size:
        raise UnreadableFile(f"{path} is empty.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        data = memoryview(mapped)
        try:
            return _Reader(path, data).model()
        except UnreadableFile as error:
            raise UnreadableFile(f"{path} cannot be read: {error}.") from error
        finally:
            data.release()


class _Reader:
    """Reads messages of one file.

    Args:
        path: The file.
        data: Its content.
    """

    def __init__(self, path: Path, data: memoryview) -> None:
        self._path, self._data, self._nodes = path, data, 0

    def model(self) -> Model:
        """The whole file."""
        made, found = Model(), False
        for item in pb.fields(self._data, 0, len(self._data)):
            if item.wire == pb.BYTES and item.number == 7:
                made.graph, found = self._graph(item, 0), True
            elif item.wire == pb.BYTES and item.number == 25:
                made.functions.append(self._function(item))
        if not found or not (made.graph.node or made.graph.initializer):
            raise UnreadableFile("it is no ONNX model: it has no nodes and no weights")
        return made

    def _inner(self, message: pb.Field) -> Iterator[pb.Field]:
        return pb.fields(self._data, message.value, message.value + message.size)

    def _text(self, item: pb.Field) -> str:
        return pb.text(self._data, item)

    def _graph(self, message: pb.Field, depth: int) -> Graph:
        if depth > _DEPTH:
            raise UnreadableFile("its graphs are nested too deep")
        graph = Graph()
        for item in self._inner(message):
            if item.wire != pb.BYTES:
                continue
            if item.number == 1:
                graph.node.append(self._node(item, depth))
            elif item.number == 2:
                graph.name = self._text(item)
            elif item.number == 5:
                graph.initializer.append(Tensor(self._path, self._data, item))
            elif item.number == 15:
                graph.sparse_initializer.append(self._sparse(item))
        return graph

    def _function(self, message: pb.Field) -> Graph:
        graph = Graph()
        for item in self._inner(message):
            if item.wire == pb.BYTES and item.number == 1:
                graph.name = self._text(item)
            elif item.wire == pb.BYTES and item.number == 7:
                graph.node.append(self._node(item, 0))
        return graph

    def _node(self, message: pb.Field, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > _NODES:
            raise UnreadableFile(f"it has more than {_NODES:,} nodes")
        node = Node()
        for item in self._inner(message):
            if item.wire != pb.BYTES:
                continue
            if item.number == 1:
                node.input.append(self._text(item))
            elif item.number == 2:
                node.output.append(self._text(item))
            elif item.number == 3:
                node.name = self._text(item)
            elif item.number == 4:
                node.op_type = self._text(item)
            elif item.number == 5:
                node.attribute.append(self._attribute(item, depth))
            elif item.number == 9:
                node.metadata_props |= pb.pair(self._data, item)
        return node

    def _attribute(self, message: pb.Field, depth: int) -> Attribute:
        made = Attribute()
        for item in self._inner(message):
            if item.number == 3 and item.wire == pb.VARINT:
                (made.i,) = pb.varints(self._data, item)
            if item.wire != pb.BYTES:
                continue
            if item.number == 1:
                made.name = self._text(item)
            elif item.number == 5:
                made.t = Tensor(self._path, self._data, item)
            elif item.number == 6:
                made.g = self._graph(item, depth + 1)
            elif item.number == 11:
                made.graphs.append(self._graph(item, depth + 1))
        return made

    def _sparse(self, message: pb.Field) -> Sparse:
        made = Sparse()
        for item in self._inner(message):
            if item.number == 1 and item.wire == pb.BYTES:
                made.name = Tensor(self._path, self._data, item).name
            elif item.number == 3:
                made.dims += pb.varints(self._data, item)
        return made


class Tensor:
    """One TensorProto.

    Args:
        path: The model's file.
        data: Its content.
        message: Where the tensor is.
    """

    def __init__(self, path: Path, data: memoryview, message: pb.Field) -> None:
        self._path = path
        self.name, self._code, self._location = "", 0, 0
        self.dims: list[int] = []
        self._raw: list[pb.Field] = []
        self._typed: list[Array] = []
        self._external: dict[str, str] = {}
        for item in pb.fields(data, message.value, message.value + message.size):
            self._take(data, item)

    def _take(self, data: memoryview, item: pb.Field) -> None:
        if item.number == 1:
            self.dims += pb.varints(data, item)
        elif item.number == 2 and item.wire == pb.VARINT:
            self._code = item.value
        elif item.number == 8 and item.wire == pb.BYTES:
            self.name = pb.text(data, item)
        elif item.number == _RAW:
            self._raw.append(item)
        elif item.number in {_FLOATS, _INT32S, _INT64S, _DOUBLES, _UINT64S}:
            self._typed.append(_numbers(data, item))
        elif item.number == 13 and item.wire == pb.BYTES:
            self._external |= pb.pair(data, item)
        elif item.number == 14 and item.wire == pb.VARINT:
            self._location = item.value

    def values(self) -> Values:
        """The place of the numbers.

        Raises:
            UnreadableFile: If they are damaged, or lie elsewhere.
        """
        stated = tuple(self.dims)
        dtype = _DTYPES.get(self._code) or _PACKED.get(self._code)
        fault = fault_of_shape(stated)
        if fault is not None:
            return Unread(shown(stated), dtype or "unknown", fault)
        shape = require_shape(stated)
        if dtype is None:
            kind = _ODD.get(self._code, f"number {self._code}")
            return Unread(shape, kind, f"values of the type {kind} are not read")
        if self._code in _PACKED:
            count = -(-math.prod(shape) // 2)
            return Nibbles(self._stored((count,), "uint8"), shape, dtype)
        return self._stored(shape, dtype)

    def _stored(self, shape: tuple[int, ...], dtype: str) -> Values:
        nbytes = math.prod(shape) * numpy_dtype(dtype).itemsize
        if self._location == _EXTERNAL:
            return self._elsewhere(shape, dtype, nbytes)
        if self._raw:
            raw = self._raw[0]
            if len(self._raw) > 1 or raw.wire != pb.BYTES or raw.size != nbytes:
                raise UnreadableFile(f"{short_repr(self.name)} has a wrong size")
            return Mapped(self._path, raw.value, shape, dtype)
        parts = [_converted(part, dtype) for part in self._typed]
        array = np.concatenate([np.empty(0, numpy_dtype(dtype)), *parts])
        if array.size != math.prod(shape):
            raise UnreadableFile(f"{short_repr(self.name)} has a wrong size")
        return Held(array.reshape(shape))

    def _elsewhere(self, shape: tuple[int, ...], dtype: str, nbytes: int) -> Values:
        place = self._external.get("location", "")
        pure = PurePosixPath(place)
        strange = pure.is_absolute() or ".." in pure.parts or PureWindowsPath(place).drive
        file = self._path.parent / pure
        if not place or strange or "\\" in place or "\0" in place:
            raise UnreadableFile(f"it refers to numbers that lie elsewhere: {short_repr(place)}")
        if not file.resolve().is_relative_to(self._path.parent.resolve()):
            raise UnreadableFile(f"it refers to numbers that lie elsewhere: {short_repr(place)}")
        if not file.is_file():
            raise UnreadableFile(f"it refers to {short_repr(place)}, which is not there")
        try:
            offset = int(self._external.get("offset", "0")[:20] or "0")
            length = int(self._external.get("length", str(nbytes))[:20])
        except ValueError:
            raise UnreadableFile("it has external data at no place") from None
        if offset < 0 or length != nbytes or offset + nbytes > file.stat().st_size:
            outside = short_repr(place).strip("'")
            raise UnreadableFile(f"{short_repr(self.name)} lies outside {outside}")
        return Mapped(file, offset, shape, dtype)


def _numbers(data: memoryview, item: pb.Field) -> Array:
    """The numbers of a field that holds them as such."""
    fixed = _FIXED.get(item.number)
    if fixed is None:
        return np.array(pb.varints(data, item), np.int64)
    size = item.size if item.wire == pb.BYTES else np.dtype(fixed).itemsize
    count = size // np.dtype(fixed).itemsize
    return np.frombuffer(data, fixed, count, item.value).astype(fixed)


def _converted(part: Array, dtype: str) -> Any:
    wanted = numpy_dtype(dtype)
    if dtype in {"float16", "bfloat16"} or dtype.startswith("float8"):
        # Such numbers travel as the bits of integers.
        bits = np.dtype(f"uint{8 * wanted.itemsize}")
        return part.astype(np.int64).astype(bits).view(wanted)
    if dtype.startswith("complex"):
        # Real and imaginary parts in turn.
        return part[: part.size // 2 * 2].view(f"complex{16 * part.itemsize}").astype(wanted)
    return part.astype(wanted)
