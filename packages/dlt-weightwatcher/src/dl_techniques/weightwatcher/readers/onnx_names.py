"""Names of weights that an exporter replaced by numbers.

Folding constants turns `encoder.layer.0.query.weight` into `onnx::MatMul_123`. The node that
multiplies by it, the bias that is added after it, or the record of the module it came from still
say what it was.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

_ANONYMOUS: Final = re.compile(r"^(onnx::\w+_\d+|_?val_\d+|\w*const\w*_\d+|\d+|_v_\d+|t_\d+)$")
_GENERIC: Final = re.compile(r"^(node_)?[A-Za-z]+(_\d+)*$")
_SCOPES: Final = "pkg.torch.onnx.name_scopes"
_RECORD_LIMIT: Final = 4096


class Use(NamedTuple):
    """The first node that takes a tensor as an input."""

    node: Any
    place: int


class Names:
    """The names of one graph.

    Args:
        nodes: Its nodes.
        taken: The names of all its tensors.
    """

    def __init__(self, nodes: Sequence[Any], taken: set[str]) -> None:
        self._taken = set(taken)
        self._tensors = taken
        self._after: dict[str, Any] = {}
        for node in nodes:
            for name in node.input:
                self._after.setdefault(name, node)

    def name_of(self, name: str, use: Use, variable: str = "weight") -> str:
        """Return a tensor's name, recovered from the graph if it has only a number.

        Args:
            name: Its name in the file.
            use: The node that multiplies by it.
            variable: Its name in the layer.
        """
        if not _ANONYMOUS.match(name):
            return name
        stem = self._by_bias(use.node) or _by_scopes(use.node) or _by_node(use.node)
        if not stem:
            return name
        found = unique = f"{stem}.{variable}"
        count = 1
        while unique in self._taken:
            count += 1
            unique = f"{found}#{count}"
        self._taken.add(unique)
        return unique

    def _by_bias(self, node: Any) -> str:
        """The bias of a layer keeps its name: it is added, or stands beside the weight."""
        added = self._after.get(node.output[0]) if node.output else None
        near = [*node.input, *(added.input if added is not None and added.op_type == "Add" else ())]
        found = (n for n in near if n in self._tensors and n.endswith(".bias"))
        return next(found, "").removesuffix(".bias")


def _by_scopes(node: Any) -> str:
    """The modules that PyTorch's newer exporter records, outermost first."""
    record = node.metadata_props.get(_SCOPES, "")
    try:
        scopes = ast.literal_eval(record) if 0 < len(record) <= _RECORD_LIMIT else []
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    named = [s for s in scopes if isinstance(s, str)] if isinstance(scopes, list) else []
    modules = [s for s in named[:-1] if s]  # the last is the operation itself
    return modules[-1] if modules else ""


def _by_node(node: Any) -> str:
    """The path of a node: `/encoder/layer.0/query/MatMul`."""
    modules = str(node.name).strip("/").split("/")
    modules = modules[:-1] if modules[-1].startswith(node.op_type) else modules
    modules = [m for m in modules if not _GENERIC.match(m) or "." in m or m.islower()]
    return ".".join(modules)
