"""Weights of ONNX files: initializers and constants, named and laid out by the nodes that use them.

The package `onnx` parses the file; numbers beside it (external data) are memory-mapped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.readers.values import Held, Mapped, Scaled, Values, numpy_dtype
from dl_techniques.weightwatcher.readers.weight import Layout, Skipped, Source, SourceError, Weight

# Input 1 is the kernel, 2 the recurrent kernel; both have an axis of directions first.
_GATES: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}
# What hands a weight on unchanged, or turned: the node behind it is the one that uses it.
_PASSED_ON: Final = frozenset({"Cast", "DequantizeLinear", "Identity", "Transpose"})


class _Use(NamedTuple):
    """The first node that takes a tensor as an input."""

    node: Any
    place: int


def read_onnx(path: Path) -> Source:
    """Read the weights of a model.

    Args:
        path: The file; external data lies in the same folder.

    Raises:
        SourceError: If the package `onnx` is missing, or the file is damaged.
    """
    try:
        import onnx
    except ImportError:
        raise SourceError(
            f"{path.name} is read by the package `onnx`: pip install 'dlt-weightwatcher[onnx]'"
        ) from None
    try:
        model = onnx.load(str(path), load_external_data=False)
    # A damaged file fails in as many ways as protobuf has.
    except Exception as error:
        raise SourceError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    graphs = list(_graphs(model.graph))
    if not any(graph.node or graph.initializer for graph in graphs):
        raise SourceError(f"{path} is no ONNX model: it has no nodes and no weights.")
    reader = _Reader(path.parent, graphs)
    return Source(path.name, *reader.read())


class _Reader:
    """All weights of the graphs of one file.

    Args:
        folder: Where external data is.
        graphs: The graph and those inside its nodes.
    """

    def __init__(self, folder: Path, graphs: list[Any]) -> None:
        self._folder = folder
        self._nodes = [node for graph in graphs for node in graph.node]
        self._tensors = [(t.name, t) for graph in graphs for t in graph.initializer]
        self._tensors += [
            (node.output[0], attribute.t)
            for node in self._nodes
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.name == "value"
        ]
        self._uses: dict[str, _Use] = {}
        for node in self._nodes:
            for place, name in enumerate(node.input):
                self._uses.setdefault(name, _Use(node, place))

    def read(self) -> tuple[list[Weight], list[Skipped]]:
        """The weights, and what of the file is none."""
        values: dict[str, Values] = {}
        skipped: list[Skipped] = []
        for name, tensor in self._tensors:
            if name in values:
                raise SourceError(f"The name {name!r} stands twice.")
            found = self._values(name, tensor)
            if isinstance(found, Skipped):
                skipped.append(found)
            else:
                values[name] = found
        values = self._dequantized(values, skipped)
        weights = [
            weight for name, value in values.items() for weight in self._weights(name, value)
        ]
        return weights, skipped

    def _values(self, name: str, tensor: Any) -> Values | Skipped:
        from onnx import TensorProto, helper, numpy_helper

        shape = tuple(tensor.dims)
        if tensor.data_location == TensorProto.EXTERNAL:
            return self._outside(name, tensor, shape, helper)
        try:
            array = numpy_helper.to_array(tensor)
        except (TypeError, ValueError, KeyError) as error:
            raise SourceError(f"The numbers of {name!r} are damaged: {error}") from error
        if array.dtype.kind in "OSU":
            return Skipped(name, shape, array.dtype.name, "not an array of numbers")
        return Held(array)

    def _outside(
        self, name: str, tensor: Any, shape: tuple[int, ...], helper: Any
    ) -> Values | Skipped:
        facts = {entry.key: entry.value for entry in tensor.external_data}
        location = facts.get("location", "")
        file = self._folder / location
        if not location or Path(location).name != location:
            raise SourceError(f"The numbers of {name!r} lie elsewhere: {location!r}")
        if not file.is_file():
            raise SourceError(f"The numbers of {name!r} are in {location}, which is not there.")
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).name
        if dtype.startswith(("int4", "uint4", "float4", "object")):
            return Skipped(name, shape, dtype, f"values of the type {dtype} are not read")
        nbytes = math.prod(shape) * numpy_dtype(dtype).itemsize
        try:
            offset = int(facts.get("offset", 0))
        except ValueError:
            offset = -1
        if offset < 0 or offset + nbytes > file.stat().st_size:
            raise SourceError(f"{name!r} lies outside {location}.")
        return Mapped(file, offset, shape, dtype)

    def _dequantized(self, values: dict[str, Values], skipped: list[Skipped]) -> dict[str, Values]:
        """Quantized weights joined with the scale that DequantizeLinear gives them."""
        joined = dict(values)
        for node in self._nodes:
            if node.op_type != "DequantizeLinear":
                continue
            name, *others = node.input
            if name not in joined or others[0] not in values:
                continue
            zero = values.get(others[1]) if len(others) > 1 else None
            for other in others:
                taken = joined.pop(other, None)
                if taken is not None:
                    reason = f"how {name} is quantized"
                    skipped.append(Skipped(other, taken.shape, taken.dtype, reason))
            weight = joined[name]
            if zero is not None and np.any(zero.read()):
                joined.pop(name)
                reason = "quantized with a zero point that is not zero"
                skipped.append(Skipped(name, weight.shape, weight.dtype, reason))
                continue
            axis = _integer(node, "axis", 1) % max(1, len(weight.shape))
            scale = values[others[0]]
            try:
                along = (axis,) if len(scale.shape) == 1 else None
                joined[name] = Scaled(weight, scale, axes=along)
            except ValueError as error:
                joined.pop(name)
                skipped.append(Skipped(name, weight.shape, weight.dtype, str(error)))
        return joined

    def _weights(self, name: str, value: Values) -> Iterator[Weight]:
        use = self._use(name)
        if use is None:
            yield Weight(name, value, "", "", "unknown")
            return
        kind, layer = use.node.op_type, use.node.name or use.node.op_type
        gates = _GATES.get(kind)
        if gates and use.place in (1, 2) and len(value.shape) == 3:
            for direction, numbers in enumerate(value.read()):
                # Torch's names, which say what the rows of these matrices are.
                part = f"weight_{'ih' if use.place == 1 else 'hh'}_l0{'_reverse' * direction}"
                path = f"{name}.{part}"
                yield Weight(path, Held(numbers), layer, kind, "torch", {"gates": gates})
            return
        facts: dict[str, Any] = {}
        if "Conv" in kind:
            facts = {"groups": _integer(use.node, "group", 1), "transposed": "Transpose" in kind}
        yield Weight(name, value, layer, kind, _layout(use.node), facts)

    def _use(self, name: str) -> _Use | None:
        for _ in self._nodes:
            use = self._uses.get(name)
            if use is None or use.node.op_type not in _PASSED_ON:
                return use
            name = use.node.output[0]
        return None


def _layout(node: Any) -> Layout:
    """Whose order the axes have: ONNX has torch's kernels and Keras's matrices."""
    if node.op_type == "Gemm":
        return "torch" if _integer(node, "transB", 0) else "keras"
    return "torch" if "Conv" in node.op_type else "keras"


def _graphs(graph: Any) -> Iterator[Any]:
    """The graph, and those of its conditions and loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                if inner.node or inner.initializer:
                    yield from _graphs(inner)


def _integer(node: Any, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)
