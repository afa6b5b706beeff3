"""Weights of ONNX files, without the package `onnx`, under the names that they had before export.

Exporters fold constants: the weight of a linear layer arrives transposed, as `onnx::MatMul_123`.
The graph still knows it: of `Add(MatMul(x, W), b)` with `b` named `p.bias`, `W` was `p.weight`.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from dl_techniques.core.text import short_repr
from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers.onnx_model import Node, read_model
from dl_techniques.weights.readers.values import Turned, Values


def read_onnx(path: Path) -> dict[str, Values]:
    """Name -> values of the initializers of a model; constants of the graph are no weights.

    Args:
        path: The file; external data lies in the same folder.

    Raises:
        UnreadableFile: If it is damaged, or refers to files elsewhere.
    """
    graph = read_model(path).graph
    initializers: dict[str, Values] = {}
    for tensor in graph.initializer:
        if tensor.name in initializers:
            raise UnreadableFile(f"{path}: the name {short_repr(tensor.name)} stands twice.")
        try:
            initializers[tensor.name] = tensor.values()
        except UnreadableFile as error:
            raise UnreadableFile(f"{path} cannot be read: {error}.") from error
    names = _recovered(graph.node, initializers)
    return {
        names.get(name, name): Turned(values) if name in names else values
        for name, values in initializers.items()
    }


def _recovered(nodes: list[Node], initializers: dict[str, Values]) -> dict[str, str]:
    """Anonymous matrices -> the names that they had, where the graph leaves no doubt."""
    consumers: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        for name in node.input:
            consumers[name].append(node)
    found: dict[str, str] = {}
    for node in nodes:
        if node.op_type != "MatMul" or len(node.input) != 2 or len(node.output) != 1:
            continue
        matrix = initializers.get(node.input[1])
        users = consumers[node.output[0]]
        if matrix is None or len(matrix.shape) != 2 or len(users) != 1 or users[0].op_type != "Add":
            continue
        biases = [name for name in users[0].input if name in initializers]
        if len(biases) == 1 and biases[0].endswith(".bias") and len(consumers[node.input[1]]) == 1:
            found[node.input[1]] = f"{biases[0].removesuffix('bias')}weight"
    names = list(found.values())
    taken = set(initializers)
    return {old: new for old, new in found.items() if names.count(new) == 1 and new not in taken}
