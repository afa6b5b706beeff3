"""Weights of ONNX files, without the package `onnx`, under the names that they had before export.

Exporters fold constants: the weight of a linear layer arrives transposed, as `onnx::MatMul_123`.
The graph still knows it: of `Add(MatMul(x, W), b)` with `b` named `p.bias`, `W` was `p.weight`.
"""

from __future__ import annotations

import math
import mmap
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

import numpy as np

from dl_techniques.core.text import short_repr
from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers import protobuf as pb
from dl_techniques.weights.readers.values import (
    Held,
    Mapped,
    Turned,
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
    16: "bfloat16",
    17: "float8_e4m3fn",
    19: "float8_e5m2",
}
# Fields of TensorProto that hold numbers, with the form of those of fixed size.
_FLOATS, _INT32S, _INT64S, _RAW, _DOUBLES, _UINT64S = 4, 5, 7, 9, 10, 11
_FIXED: Final = {_FLOATS: "<f4", _DOUBLES: "<f8"}
_EXTERNAL: Final = 1
_NODES: Final = 1_000_000


@dataclass
class _Node:
    """A node: what it takes and gives."""

    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


@dataclass
class _Graph:
    """The graph of a model, as far as weights are concerned."""

    nodes: list[_Node] = field(default_factory=list)
    initializers: dict[str, Values] = field(default_factory=dict)


def read_onnx(path: Path) -> dict[str, Values]:
    """Name -> values of the initializers of a model; constants of the graph are no weights.

    Args:
        path: The file; external data lies in the same folder.

    Raises:
        UnreadableFile: If it is damaged, or refers to files elsewhere.
    """
    if not path.stat().st_size:
        raise UnreadableFile(f"{path} is empty.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        data = memoryview(mapped)
        try:
            graph = _read_model(path, data)
        except UnreadableFile as error:
            raise UnreadableFile(f"{path} cannot be read: {error}.") from error
        finally:
            data.release()
    return _renamed(graph)


def _read_model(path: Path, data: memoryview) -> _Graph:
    graph = _Graph()
    found = False
    for item in pb.fields(data, 0, len(data)):
        if item.number == 7 and item.wire == pb.BYTES:
            found = True
            _read_graph(path, data, item, graph)
    if not found or not (graph.nodes or graph.initializers):
        raise UnreadableFile("it is no ONNX model: it has no nodes and no weights")
    return graph


def _read_graph(path: Path, data: memoryview, message: pb.Field, graph: _Graph) -> None:
    for item in pb.fields(data, message.value, message.value + message.size):
        if item.wire != pb.BYTES:
            continue
        if item.number == 1:
            graph.nodes.append(_read_node(data, item))
        elif item.number == 5:
            name, values = _Tensor(path, data, item).read()
            if name in graph.initializers:
                raise UnreadableFile(f"the name {short_repr(name)} stands twice")
            graph.initializers[name] = values
        if len(graph.nodes) > _NODES:
            raise UnreadableFile(f"it has more than {_NODES:,} nodes")


def _read_node(data: memoryview, message: pb.Field) -> _Node:
    node = _Node()
    for item in pb.fields(data, message.value, message.value + message.size):
        if item.wire != pb.BYTES:
            continue
        if item.number == 1:
            node.inputs.append(pb.text(data, item))
        elif item.number == 2:
            node.outputs.append(pb.text(data, item))
        elif item.number == 4:
            node.operator = pb.text(data, item)
    return node


class _Tensor:
    """One TensorProto.

    Args:
        path: The model's file.
        data: Its content.
        message: Where the tensor is.
    """

    def __init__(self, path: Path, data: memoryview, message: pb.Field) -> None:
        self._path, self._data = path, data
        self.name, self.code, self.location = "", 0, 0
        self.dims: list[int] = []
        self.numbers: list[pb.Field] = []
        self.external: dict[str, str] = {}
        for item in pb.fields(data, message.value, message.value + message.size):
            self._take(item)

    def _take(self, item: pb.Field) -> None:
        if item.number == 1:
            self.dims += pb.varints(self._data, item)
        elif item.number == 2 and item.wire == pb.VARINT:
            self.code = item.value
        elif item.number == 8 and item.wire == pb.BYTES:
            self.name = pb.text(self._data, item)
        elif item.number in {_FLOATS, _INT32S, _INT64S, _RAW, _DOUBLES, _UINT64S}:
            self.numbers.append(item)
        elif item.number == 13 and item.wire == pb.BYTES:
            inner = {
                part.number: pb.text(self._data, part)
                for part in pb.fields(self._data, item.value, item.value + item.size)
                if part.wire == pb.BYTES
            }
            self.external[inner.get(1, "")] = inner.get(2, "")
        elif item.number == 14 and item.wire == pb.VARINT:
            self.location = item.value

    def read(self) -> tuple[str, Values]:
        """The name and the values."""
        dtype = _DTYPES.get(self.code)
        if dtype is None:
            raise UnreadableFile(f"{short_repr(self.name)} has the type {self.code}")
        shape = require_shape(self.dims)
        nbytes = math.prod(shape) * numpy_dtype(dtype).itemsize
        if self.location == _EXTERNAL:
            return self.name, self._elsewhere(shape, dtype, nbytes)
        raw = [item for item in self.numbers if item.number == _RAW]
        if raw:
            if len(raw) > 1 or raw[0].wire != pb.BYTES or raw[0].size != nbytes:
                raise UnreadableFile(f"{short_repr(self.name)} has a wrong size")
            return self.name, Mapped(self._path, raw[0].value, shape, dtype)
        array = self._typed(dtype)
        if array.size != math.prod(shape):
            raise UnreadableFile(f"{short_repr(self.name)} has a wrong size")
        return self.name, Held(array.reshape(shape))

    def _typed(self, dtype: str) -> Any:
        parts: list[Any] = [np.empty(0, numpy_dtype(dtype))]
        for item in self.numbers:
            fixed = _FIXED.get(item.number)
            if fixed is not None:
                size = item.size if item.wire == pb.BYTES else np.dtype(fixed).itemsize
                count = size // np.dtype(fixed).itemsize
                part = np.frombuffer(self._data, fixed, count, item.value).astype(fixed)
            else:
                part = np.array(pb.varints(self._data, item), np.int64)
            parts.append(self._converted(part, dtype))
        return np.concatenate(parts)

    def _converted(self, part: Any, dtype: str) -> Any:
        wanted = numpy_dtype(dtype)
        if dtype in {"float16", "bfloat16"} or dtype.startswith("float8"):
            # Such numbers travel as the bits of integers.
            bits = np.dtype(f"uint{8 * wanted.itemsize}")
            return part.astype(np.int64).astype(bits).view(wanted)
        return part.astype(wanted)

    def _elsewhere(self, shape: tuple[int, ...], dtype: str, nbytes: int) -> Values:
        place = self.external.get("location", "")
        pure = PurePosixPath(place)
        outside = pure.is_absolute() or ".." in pure.parts or PureWindowsPath(place).drive
        file = self._path.parent / pure
        if not place or outside or "\\" in place or "\0" in place:
            raise UnreadableFile(f"it refers to the file {short_repr(place)}")
        if not file.resolve().is_relative_to(self._path.parent.resolve()):
            raise UnreadableFile(f"it refers to a file elsewhere: {short_repr(place)}")
        if not file.is_file():
            raise UnreadableFile(f"it refers to {short_repr(place)}, which is not there")
        try:
            offset = int(self.external.get("offset", "0")[:20] or "0")
            length = int(self.external.get("length", str(nbytes))[:20])
        except ValueError:
            raise UnreadableFile("it has external data at no place") from None
        if offset < 0 or length != nbytes or offset + nbytes > file.stat().st_size:
            raise UnreadableFile(f"{short_repr(self.name)} lies outside {short_repr(place)}")
        return Mapped(file, offset, shape, dtype)


def _renamed(graph: _Graph) -> dict[str, Values]:
    names = _recovered(graph)
    found: dict[str, Values] = {}
    for name, values in graph.initializers.items():
        if name in names:
            found[names[name]] = Turned(values)
        else:
            found[name] = values
    return found


def _recovered(graph: _Graph) -> dict[str, str]:
    """Anonymous matrices -> the names that they had, where the graph leaves no doubt."""
    consumers: dict[str, list[_Node]] = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            consumers[name].append(node)
    found: dict[str, str] = {}
    for node in graph.nodes:
        if node.operator != "MatMul" or len(node.inputs) != 2 or len(node.outputs) != 1:
            continue
        matrix = graph.initializers.get(node.inputs[1])
        users = consumers[node.outputs[0]]
        if (
            matrix is None
            or len(matrix.shape) != 2
            or len(users) != 1
            or users[0].operator != "Add"
        ):
            continue
        biases = [name for name in users[0].inputs if name in graph.initializers]
        if len(biases) == 1 and biases[0].endswith(".bias") and len(consumers[node.inputs[1]]) == 1:
            found[node.inputs[1]] = f"{biases[0].removesuffix('bias')}weight"
    names = list(found.values())
    taken = set(graph.initializers)
    return {old: new for old, new in found.items() if names.count(new) == 1 and new not in taken}
