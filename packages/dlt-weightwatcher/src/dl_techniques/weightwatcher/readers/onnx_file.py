"""Weights of ONNX files: initializers and constants, named and laid out by the nodes that use them.

The package `onnx` parses the file; numbers beside it (external data) are memory-mapped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.readers.scaled import Scaled
from dl_techniques.weightwatcher.readers.values import (
    Held,
    Mapped,
    Values,
    numpy_dtype,
)
from dl_techniques.weightwatcher.readers.weight import Layout, Skipped, Source, SourceError, Weight

# Input 1 is the kernel, 2 the recurrent kernel; both have an axis of directions first.
_GATES: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}
# What hands a weight on unchanged, or turned: the node behind it is the one that uses it.
_PASSED_ON: Final = frozenset({"Cast", "DequantizeLinear", "Identity", "Transpose"})
_QUANTIZED: Final = frozenset({"int8", "uint8", "int4", "uint4"})
_NO_SCALE: Final = "quantized, and nothing says with which scale"


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
    if not (model.graph.node or model.graph.initializer):
        raise SourceError(f"{path} is no ONNX model: it has no nodes and no weights.")
    weights, skipped = _Reader(path.parent, model.graph).read()
    for function in model.functions:
        inner, left_out = _Reader(path.parent, function, f"{function.name}/").read()
        weights += inner
        skipped += left_out
    return Source(path.name, weights, skipped)


class _Reader:
    """All weights of a graph or a function.

    Args:
        folder: Where external data is.
        graph: The graph; those inside its nodes belong to it.
        prefix: What to put before names.
    """

    def __init__(self, folder: Path, graph: Any, prefix: str = "") -> None:
        self._folder, self._prefix = folder, prefix
        graphs = list(_graphs(graph))
        self._nodes = [node for part in graphs for node in part.node]
        # Functions have no initializers.
        self._tensors = [(t.name, t) for part in graphs for t in getattr(part, "initializer", ())]
        self._tensors += [
            (node.output[0], attribute.t)
            for node in self._nodes
            if node.op_type == "Constant" and node.output
            for attribute in node.attribute
            if attribute.name == "value"
        ]
        self._sparse = [t for part in graphs for t in getattr(part, "sparse_initializer", ())]
        self._uses: dict[str, _Use] = {}
        for node in self._nodes:
            for place, name in enumerate(node.input):
                self._uses.setdefault(name, _Use(node, place))

    def read(self) -> tuple[list[Weight], list[Skipped]]:
        """The weights, and what of the file is none."""
        values: dict[str, Values] = {}
        skipped = [
            Skipped(t.values.name, tuple(t.dims), "sparse", "sparse tensors are not read")
            for t in self._sparse
        ]
        for name, tensor in self._tensors:
            # The two branches of a condition may use a name twice.
            unique = name if name not in values else f"{name}[{len(values)}]"
            found = self._values(unique, tensor)
            if isinstance(found, Skipped):
                skipped.append(found)
            else:
                values[unique] = found
        values = self._dequantized(values, skipped)
        parts = (self._weights(name, value) for name, value in values.items())
        named = [replace(w, path=f"{self._prefix}{w.path}") for part in parts for w in part]
        return named, [entry._replace(path=f"{self._prefix}{entry.path}") for entry in skipped]

    def _values(self, name: str, tensor: Any) -> Values | Skipped:
        from onnx import TensorProto, helper, numpy_helper

        shape = tuple(tensor.dims)
        if min(shape, default=0) < 0:
            raise SourceError(f"The shape of {name!r} is damaged: {shape}")
        try:
            if tensor.data_location == TensorProto.EXTERNAL:
                dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
                return self._outside(name, tensor, shape, dtype.name)
            array = numpy_helper.to_array(tensor)
        except SourceError:
            raise
        except (TypeError, ValueError, KeyError) as error:
            raise SourceError(f"The numbers of {name!r} are damaged: {error}") from error
        if array.dtype.kind in "OSU":
            return Skipped(name, shape, array.dtype.name, "not an array of numbers")
        return Held(array)

    def _outside(
        self, name: str, tensor: Any, shape: tuple[int, ...], dtype: str
    ) -> Values | Skipped:
        facts = {entry.key: entry.value for entry in tensor.external_data}
        location = facts.get("location", "")
        file = self._folder / location
        if not location or Path(location).name != location:
            raise SourceError(f"The numbers of {name!r} lie elsewhere: {location!r}")
        if not file.is_file():
            raise SourceError(f"The numbers of {name!r} are in {location}, which is not there.")
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
        """Quantized weights joined with the scale and the zero point that a node gives them."""
        joined = dict(values)
        # An embedding is scaled after its rows were taken.
        table = {
            node.output[0]: node.input[0]
            for node in self._nodes
            if node.op_type == "Gather" and node.output and node.input
        }
        quantized = [name for name, value in values.items() if value.dtype in _QUANTIZED]
        done: set[str] = set()
        said = [found for node in self._nodes if (found := _quantization(node)) is not None]
        for found in [*said, *map(self._by_name, quantized)]:
            name = table.get(found.weight, found.weight)
            if name not in joined or name in done:
                continue
            done.add(name)
            weight = joined.pop(name)
            scale, zero = values.get(found.scale), values.get(found.zero)
            for part in (found.scale, found.zero):
                taken = joined.pop(part, None)
                if taken is not None:
                    reason = f"how {name} is quantized"
                    skipped.append(Skipped(part, taken.shape, taken.dtype, reason))
            try:
                if scale is None or (zero is None and found.zero):
                    raise ValueError(_NO_SCALE)
                axis = found.axis % max(1, len(weight.shape))
                joined[name] = _scaled(weight, scale, zero, axis)
            except ValueError as error:
                skipped.append(Skipped(name, weight.shape, weight.dtype, str(error)))
        return {name: joined[name] for name in values if name in joined}

    def _by_name(self, name: str) -> _Quantization:
        """What onnxruntime's names say of a weight whose scale is multiplied to the output."""
        stem = name.removesuffix("_quantized")
        use = self._use(name)
        axis = 0 if use is not None and use.node.op_type == "ConvInteger" else -1
        return _Quantization(name, f"{stem}_scale", f"{stem}_zero_point", axis)

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
        if gates and use.place > 2:
            yield Weight(f"{name}.bias", value, layer, kind, "torch")
            return
        facts: dict[str, Any] = {}
        if "Conv" in kind:
            facts = {"groups": _integer(use.node, "group", 1), "transposed": "Transpose" in kind}
        yield Weight(name, value, layer, kind, _layout(use.node), facts)

    def _use(self, name: str) -> _Use | None:
        for _ in self._nodes:
            use = self._uses.get(name)
            if use is None or use.node.op_type not in _PASSED_ON or not use.node.output:
                return use
            name = use.node.output[0]
        return None


def _layout(node: Any) -> Layout:
    """Whose order the axes have: ONNX has torch's kernels and Keras's matrices."""
    if node.op_type == "Gemm":
        return "torch" if _integer(node, "transB", 0) else "keras"
    return "torch" if "Conv" in node.op_type else "keras"


class _Quantization(NamedTuple):
    """What a node says of a quantized weight."""

    weight: str
    scale: str
    zero: str
    axis: int


def _quantization(node: Any) -> _Quantization | None:
    inputs: list[str] = [*node.input, *[""] * 6]
    first, second, third, *others = inputs
    if node.op_type == "DequantizeLinear":
        return _Quantization(first, second, third, _integer(node, "axis", 1))
    if node.op_type in {"QLinearConv", "QLinearMatMul"}:
        axis = 0 if node.op_type == "QLinearConv" else -1
        return _Quantization(others[0], others[1], others[2], axis)
    return None


def _scaled(weight: Values, scale: Values, zero: Values | None, axis: int) -> Values:
    along = (axis,) if len(scale.shape) == 1 and scale.shape != (1,) else None
    return Scaled(weight, scale, axes=along, zero=zero)


def _graphs(graph: Any) -> Iterator[Any]:
    """The graph, and those of its conditions and loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                if inner.node or inner.initializer or inner.sparse_initializer:
                    yield from _graphs(inner)


def _integer(node: Any, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)
