"""Weights of ONNX files: initializers and constants, named and laid out by the nodes that use them.

dlt-weights reads the file; numbers in it and beside it (external data) are memory-mapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from dl_techniques.weights.readers.onnx_model import (
    Graph,
    Nibbles,
    Tensor,
    read_model,
    unpacked,
)
from dl_techniques.weights.readers.values import Unread
from dl_techniques.weightwatcher.readers.computed import Computed
from dl_techniques.weightwatcher.readers.onnx_bits import of_few_bits
from dl_techniques.weightwatcher.readers.onnx_names import Names, Use
from dl_techniques.weightwatcher.readers.scaled import Scaled
from dl_techniques.weightwatcher.readers.values import Held, Values, adopted
from dl_techniques.weightwatcher.readers.weight import Layout, Skipped, Source, SourceError, Weight

# Input 1 is the kernel, 2 the recurrent kernel; both have an axis of directions first.
_GATES: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}
# Nodes that pass a weight on, unchanged or transposed: the next node uses it.
_PASSED_ON: Final = frozenset(
    {
        *("Cast", "CastLike", "DequantizeLinear", "Identity", "Transpose", "QuantizeLinear"),
        *("Unsqueeze", "Squeeze", "Reshape", "Flatten", "Concat", "Slice", "Split"),
    }
)
# Nodes that take masks, tables and numbers rather than weights.
_ELEMENTWISE: Final = frozenset(
    {
        *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Mod", "Clip"),
        *("Where", "Equal", "Greater", "Less", "And", "Or", "Not"),
        *("Expand", "Tile", "Pad", "Resize", "Range", "Shape", "ScatterND", "ConstantOfShape"),
    }
)
_QUANTIZED: Final = frozenset({"int8", "uint8", "int4", "uint4"})
_NO_SCALE: Final = "quantized, and nothing says with which scale"


def read_onnx(path: Path) -> Source:
    """Read the weights of a model.

    Args:
        path: The file; external data lies in the same folder.

    Raises:
        SourceError: If the file is damaged, or refers to files elsewhere.
    """
    model = read_model(path)
    try:
        weights, skipped = _Reader(model.graph).read()
        for function in model.functions:
            inner, left_out = _Reader(function, f"{function.name}/").read()
            weights += inner
            skipped += left_out
    except SourceError as error:
        raise SourceError(f"{path} cannot be read: {error}.") from error
    return Source(path.name, weights, skipped)


class _Reader:
    """All weights of a graph or a function.

    Args:
        graph: The graph; those inside its nodes belong to it.
        prefix: Prefix of names.
    """

    def __init__(self, graph: Graph, prefix: str = "") -> None:
        self._prefix = prefix
        graphs = list(_graphs(graph))
        self._nodes = [node for part in graphs for node in part.node]
        self._tensors = [(t.name, t) for part in graphs for t in part.initializer]
        constants = [
            (node.output[0], attribute.t)
            for node in self._nodes
            if node.op_type == "Constant" and node.output
            for attribute in node.attribute
            if attribute.name == "value" and attribute.t is not None
        ]
        self._constants = {name for name, _ in constants}
        self._tensors += constants
        self._sparse = [t for part in graphs for t in part.sparse_initializer]
        self._uses: dict[str, Use] = {}
        for node in self._nodes:
            for place, name in enumerate(node.input):
                self._uses.setdefault(name, Use(node, place))
        taken = {name for name, _ in self._tensors}
        self._names = Names(self._nodes, taken)
        self._multiplied_in_bits: set[str] = set()

    def read(self) -> tuple[list[Weight], list[Skipped]]:
        """Return the weights, and the rest of the file."""
        values: dict[str, Values] = {}
        skipped = [
            Skipped(t.name, tuple(t.dims), "sparse", "sparse tensors are not read")
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
        values = self._unpacked(values, skipped)
        values = self._dequantized(values, skipped)
        literals = [name for name in values if self._is_literal(name, values[name])]
        for name in literals:
            value = values.pop(name)
            skipped.append(Skipped(name, value.shape, value.dtype, "a constant of the graph"))
        parts = (self._weights(name, value) for name, value in values.items())
        named = [replace(w, path=f"{self._prefix}{w.path}") for part in parts for w in part]
        return named, [entry._replace(path=f"{self._prefix}{entry.path}") for entry in skipped]

    def _is_literal(self, name: str, value: Values) -> bool:
        """Return whether no layer multiplies by a constant: a mask, a table or a number."""
        if name.partition("[")[0] not in self._constants or len(value.shape) < 2:
            return False
        use = self._use(name)
        return use is not None and use.node.op_type in _ELEMENTWISE

    def _values(self, name: str, tensor: Tensor) -> Values | Skipped:
        found = tensor.values()
        if isinstance(found, Unread):
            return Skipped(name, found.shape, found.dtype, found.reason)
        if isinstance(found, Nibbles):
            codes, how = adopted(found.codes), partial(unpacked, found.shape, found.dtype)
            return Computed(how, (codes,), found.shape, found.dtype)
        return adopted(found)

    def _unpacked(self, values: dict[str, Values], skipped: list[Skipped]) -> dict[str, Values]:
        """Weights in blocks of few bits, as onnxruntime's nodes multiply by them."""
        found = dict(values)
        for node in self._nodes:
            kind = node.op_type
            name = node.input[1 if kind == "MatMulNBits" else 0] if len(node.input) > 1 else ""
            if kind != "MatMulNBits" or name not in found:
                continue
            weight = found[name]
            parts = [found.get(part) for part in (*node.input[2:4], "")[:2]]
            facts = {key: _integer(node, key, 0) for key in ("K", "N", "bits", "block_size")}
            try:
                found[name] = of_few_bits(weight, parts[0], parts[1], **facts)
                self._multiplied_in_bits.add(name)
            except ValueError as error:
                del found[name]
                skipped.append(Skipped(name, weight.shape, weight.dtype, str(error)))
            for part in node.input[2:4]:
                taken = found.pop(part, None)
                if taken is not None:
                    reason = f"how {name} is quantized"
                    skipped.append(Skipped(part, taken.shape, taken.dtype, reason))
        return found

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
        done = set(self._multiplied_in_bits)
        quantized = [name for name in quantized if name not in done]
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
                joined[name] = _scaled(weight, scale, zero, axis, found.block)
            except ValueError as error:
                skipped.append(Skipped(name, weight.shape, weight.dtype, str(error)))
        return {name: joined[name] for name in values if name in joined}

    def _by_name(self, name: str) -> _Quantization:
        """Return facts from onnxruntime's names: the weight's scale multiplies the output."""
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
        if gates and use.place in (1, 2):
            yield from self._recurrent(name, value, use, layer)
            return
        name = self._names.name_of(name, use)
        if gates and use.place > 2:
            yield Weight(f"{name}.bias", value, layer, kind, "torch")
            return
        facts: dict[str, Any] = {}
        if "Conv" in kind:
            facts = {"groups": _integer(use.node, "group", 1), "transposed": "Transpose" in kind}
        yield Weight(name, value, layer, kind, _layout(use.node), facts)

    def _recurrent(self, name: str, value: Values, use: Use, layer: str) -> Iterator[Weight]:
        """The kernel of a recurrent layer, of each direction a matrix with its gates below."""
        kind, facts = use.node.op_type, {"gates": _GATES[use.node.op_type]}
        part = f"weight_{'ih' if use.place == 1 else 'hh'}_l0"
        if len(value.shape) == 2:  # the exporter left the layer's own matrices in the file
            path = name if "weight_" in name.rpartition(".")[2] else f"{name}.{part}"
            yield Weight(path, value, layer, kind, "torch", facts)
            return
        if len(value.shape) != 3:
            yield Weight(name, value, layer, kind, "unknown")
            return
        for direction, numbers in enumerate(value.read()):
            # Torch's names, which say what the rows of these matrices are.
            own = f"{part}{'_reverse' * direction}"
            path = self._names.name_of(name, use, own)
            path = f"{name}.{own}" if path == name else path
            yield Weight(path, Held(numbers), layer, kind, "torch", facts)

    def _use(self, name: str) -> Use | None:
        for _ in self._nodes:
            use = self._uses.get(name)
            if use is None or use.node.op_type not in _PASSED_ON or not use.node.output:
                return use
            name = use.node.output[0]
        return None


def _layout(node: Any) -> Layout:
    """Return the library of the axes' order: ONNX has torch's kernels and Keras's matrices."""
    if node.op_type == "Gemm":
        return "torch" if _integer(node, "transB", 0) else "keras"
    return "torch" if "Conv" in node.op_type else "keras"


class _Quantization(NamedTuple):
    """The facts of a node about a quantized weight."""

    weight: str
    scale: str
    zero: str
    axis: int
    block: int = 0
    """How many values along the axis share a scale; 0 for one scale for each place on it."""


def _quantization(node: Any) -> _Quantization | None:
    inputs: list[str] = [*node.input, *[""] * 6]
    first, second, third, *others = inputs
    if node.op_type == "DequantizeLinear":
        block = _integer(node, "block_size", 0)
        return _Quantization(first, second, third, _integer(node, "axis", 1), block)
    if node.op_type in {"QLinearConv", "QLinearMatMul"}:
        axis = 0 if node.op_type == "QLinearConv" else -1
        return _Quantization(others[0], others[1], others[2], axis)
    return None


def _scaled(weight: Values, scale: Values, zero: Values | None, axis: int, block: int) -> Values:
    if block:
        blocks = tuple(block if place == axis else 1 for place in range(len(weight.shape)))
        return Scaled(weight, scale, blocks=blocks, zero=zero)
    along = (axis,) if len(scale.shape) == 1 and scale.shape != (1,) else None
    return Scaled(weight, scale, axes=along, zero=zero)


def _graphs(graph: Graph) -> Iterator[Graph]:
    """The graph, and those of its conditions and loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                if inner is not None:
                    yield from _graphs(inner)


def _integer(node: Any, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)
