"""A model as a graph of PyTorch's operators: traced, simplified, run without Keras.

It holds the model's own parameters. What depends on them alone, such as transposed kernels, is
computed once, and again after any of them has changed.
"""

from __future__ import annotations

import operator
from typing import Any

import keras
import torch  # its own tracer is what is called; imported on PyTorch only
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

_ATEN = torch.ops.aten
_IDLE = (_ATEN.detach.default, _ATEN.alias.default, _ATEN.lift_fresh_copy.default)

_VIEWS = (_ATEN.view.default, _ATEN._unsafe_view.default)
_ATTENTION = tuple(
    getattr(_ATEN, name).default
    for name in ("_scaled_dot_product_flash_attention_for_cpu",)
    if hasattr(_ATEN, name)
)


class Traced:
    """A model for inputs of one shape.

    Args:
        model: The model.
        inputs: Inputs in the model's structure.
        flat: The same, as tensors in a list.
    """

    def __init__(self, model: Any, inputs: Any, flat: list[torch.Tensor]) -> None:
        structure: list[Any] = []

        def function(*tensors: torch.Tensor) -> list[torch.Tensor]:
            given = keras.tree.pack_sequence_as(inputs, list(tensors))
            outputs = model(given, training=False)
            structure[:] = [outputs]
            return [*keras.tree.flatten(outputs)]

        with torch.no_grad():
            graph = make_fx(function, tracing_mode="real")(*flat)
        self._outputs = keras.tree.map_structure(lambda _: 0, structure[0])
        simplify(graph)
        self._constants = Constants(graph)
        self._graph = self._constants.rest

    def __call__(self, flat: list[torch.Tensor]) -> Any:
        """Compute.

        Args:
            flat: The inputs.
        """
        with torch.no_grad():
            self._constants.refresh()
            outputs = self._graph(*flat)
        return keras.tree.pack_sequence_as(self._outputs, outputs)


def simplify(module: GraphModule) -> None:
    """Replace what Keras makes by what PyTorch has for it, without a change of the outputs.

    Args:
        module: A traced graph, which is changed.
    """
    graph = module.graph
    for node in list(graph.nodes):
        if _is(node, *_IDLE):
            node.replace_all_uses_with(node.args[0])
    graph.eliminate_dead_code()
    for rule in (_drop_copy, _join_bias, _join_bias_of_convolution, _join_scale, _lay_kernel):
        for node in list(graph.nodes):
            rule(graph, node)
        graph.eliminate_dead_code()
    graph.lint()
    module.recompile()


def _is(node: Any, *targets: Any) -> bool:
    return isinstance(node, Node) and node.op == "call_function" and node.target in targets


def _single(node: Any) -> bool:
    return isinstance(node, Node) and len(node.users) == 1


def _value(node: Any) -> Any:
    return node.meta.get("val") if isinstance(node, Node) else None


def _shape(node: Any) -> tuple[int, ...] | None:
    value = _value(node)
    return None if value is None else tuple(value.shape)


def _below(node: Any, *targets: Any) -> Any:
    """Return the node before views that nothing else reads."""
    while _is(node, *targets) and _single(node):
        node = node.args[0]
    return node


def _vector(graph: Any, node: Any, size: int, before: Any) -> Any:
    """A parameter of one axis, also if it was given further axes, readable at a place."""
    while _is(node, *_VIEWS):
        node = node.args[0]
    if not isinstance(node, Node) or node.op != "get_attr" or _shape(node) != (size,):
        return None
    with graph.inserting_before(before):
        return graph.node_copy(node)


def _drop_copy(graph: Any, node: Any) -> None:  # noqa: ARG001  # a rule
    """clone(x)  ->  x, where x lies in memory as it is wanted, or the reader takes any order."""
    if not _is(node, _ATEN.clone.default):
        return
    source, wanted = node.args[0], node.kwargs.get("memory_format")
    value = _value(source)
    copied_again = all(_is(user, _ATEN.clone.default) for user in node.users)
    attended = all(_is(user, *_ATTENTION) for user in node.users)
    lies_so = wanted is not None and value is not None and _lies(value, wanted)
    if lies_so or copied_again or attended:
        node.replace_all_uses_with(source)


def _lies(value: Any, wanted: Any) -> bool:
    fits = wanted is not torch.channels_last or value.dim() == 4
    return fits and bool(value.is_contiguous(memory_format=wanted))


def _join_bias(graph: Any, node: Any) -> None:
    """view(x W) + b  ->  view(addmm(b, x, W))."""
    if not _is(node, _ATEN.add.Tensor) or node.kwargs:
        return
    product, bias = node.args
    matrix = _below(product, *_VIEWS)
    wide, high = _shape(product), _shape(matrix)
    if not _is(matrix, _ATEN.mm.default) or not _single(matrix) or not wide or not high:
        return
    vector = _vector(graph, bias, high[-1], matrix) if wide[-1] == high[-1] else None
    if vector is not None:
        with graph.inserting_before(matrix):
            joined = graph.call_function(_ATEN.addmm.default, (vector, *matrix.args))
        joined.meta = dict(matrix.meta)
        matrix.replace_all_uses_with(joined)
        node.replace_all_uses_with(product)


def _join_bias_of_convolution(graph: Any, node: Any) -> None:
    """permute(conv(x, W)) + b  ->  permute(conv(x, W, b))."""
    if not _is(node, _ATEN.add.Tensor) or node.kwargs:
        return
    moved, bias = node.args
    last = _is(moved, _ATEN.permute.default) and list(moved.args[1])[-1] == 1
    inner: Any = moved.args[0] if last and _single(moved) else None
    shape = _shape(inner)
    if not _is(inner, _ATEN.convolution.default) or not _single(inner) or not shape:
        return
    if inner.args[2] is None:
        vector = _vector(graph, bias, shape[1], inner)
        if vector is not None:
            inner.update_arg(2, vector)
            node.replace_all_uses_with(moved)


def _join_scale(graph: Any, node: Any) -> None:  # noqa: ARG001  # a rule
    """attention(c q, k, v, scale=1)  ->  attention(q, k, v, scale=c)."""
    if not _is(node, *_ATTENTION) or node.kwargs.get("scale") != 1.0:
        return
    query = _below(node.args[0], _ATEN.transpose.int, _ATEN.permute.default)
    if _is(query, _ATEN.mul.Tensor) and _single(query) and isinstance(query.args[1], float):
        query.replace_all_uses_with(query.args[0])
        node.update_kwarg("scale", query.args[1])


def _lay_kernel(graph: Any, node: Any) -> None:
    """A kernel in the order in which convolutions of Keras's images read it."""
    if _is(node, _ATEN.convolution.default) and _is_constant(node.args[1]):
        shape = _shape(node.args[1])
        wide = shape is not None and len(shape) == 4
        order = torch.channels_last if wide else torch.contiguous_format
        with graph.inserting_before(node):
            laid = graph.call_function(
                _ATEN.clone.default, (node.args[1],), {"memory_format": order}
            )
        node.update_arg(1, laid)


def _is_constant(node: Any) -> bool:
    """Tell whether a node depends on parameters alone."""
    if not isinstance(node, Node) or node.op == "get_attr":
        return isinstance(node, Node)
    pure = node.op == "call_function" and not _is_random(node)
    return pure and bool(node.all_input_nodes) and all(map(_is_constant, node.all_input_nodes))


class Constants:
    """The part of a graph that depends on its parameters alone, kept until one of them changes.

    Args:
        module: The whole graph.
    """

    def __init__(self, module: GraphModule) -> None:
        graph = module.graph
        constant = {node for node in graph.nodes if _is_constant(node)}
        wanted = [
            node
            for node in graph.nodes
            if node in constant
            and node.op != "get_attr"
            and any(user not in constant for user in node.users)
        ]
        first = Graph()
        copies: dict[Any, Any] = {}
        for node in graph.nodes:
            if node in constant:
                copies[node] = first.node_copy(node, lambda n: copies[n])
        first.output([copies[node] for node in wanted])
        first.eliminate_dead_code()
        self._first = GraphModule(module, first)
        self._names = [f"_folded{i}" for i in range(len(wanted))]
        self.rest = module
        for name, node in zip(self._names, wanted, strict=True):
            module.register_buffer(name, torch.empty(0), persistent=False)
            with graph.inserting_before(node):
                held = graph.get_attr(name)
            node.replace_all_uses_with(held)
        graph.eliminate_dead_code()
        module.recompile()
        self._sources = [
            operator.attrgetter(str(node.target))(module)
            for node in first.nodes
            if node.op == "get_attr"
        ]
        self._state: Any = None

    def refresh(self) -> None:
        """Compute again what depends on a parameter that has changed."""
        state = [(tensor.data_ptr(), tensor._version) for tensor in self._sources]
        if state != self._state:
            for name, value in zip(self._names, self._first(), strict=True):
                setattr(self.rest, name, value)
            self._state = state


def _is_random(node: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
