"""Registration of a component, and the imports of its source."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import keras

from dl_techniques.core.contract.config import merged_signature
from dl_techniques.core.testing.check import ANY, NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject

_BACKENDS = frozenset({"tensorflow", "jax", "torch", "flax"})
_TAKES_TENSORS = frozenset({"call", "update_state"})


@check(kinds=ANY)
def registered_serialization(subject: Subject) -> None:
    """Keras knows the class by its identifier, and the identifier leads back to the class."""
    if subject.cls.__module__.partition(".")[0] == "keras":
        raise NotApplicable("one of Keras's own")
    name = keras.saving.get_registered_name(subject.cls)
    require(
        ">" in name and not name.startswith("Custom>"),
        f"expected a registered name `namespace>Name`. Received: {name!r}",
    )
    declared = subject.declaration.id if subject.declaration else name
    require(name == declared, f"registered as {name!r} but declared as {declared!r}")
    found = keras.saving.get_registered_object(name)
    require(found is subject.cls, f"{name!r} leads to {found!r}")


@check(level="may", kinds=ANY)
def default_example(subject: Subject) -> None:
    """One of the class's own examples gives the required arguments only, so defaults are tested."""
    signature = merged_signature(subject.cls) if subject.is_class else None
    examples = list(getattr(subject.cls, "examples", tuple)())
    if signature is None or not examples:
        raise NotApplicable("it has no constructor or no examples of its own")
    required = {p.name for p in signature.parameters.values() if p.default is p.empty}
    extra = [example.config.keys() - required - {"seed"} for example in examples]
    require(not all(extra), f"each example sets optional arguments: {[sorted(e) for e in extra]}")


@check(kinds=ANY)
def backend_purity(subject: Subject) -> None:
    """The source imports public Keras and no backend, and takes no tensor out of its graph."""
    if subject.cls.__module__.partition(".")[0] == "keras":
        raise NotApplicable("one of Keras's own")
    subject.require_first()
    trees = [tree for tree in map(_tree, _modules(subject.cls)) if tree is not None]
    if not trees:
        raise NotApplicable("there is no source")
    for tree in trees:
        for line, module in _imports(tree):
            root = module.partition(".")[0]
            require(root not in _BACKENDS, f"line {line} imports the backend {root}")
            private = module == "keras.src" or module.startswith("keras.src.")
            require(not private, f"line {line} imports the private {module}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                method = node.func.attr
                require(method != "numpy", f"line {node.lineno} calls `.numpy()`")
        for line, argument in _numpy_on_arguments(tree):
            require(False, f"line {line} gives `{argument}`, which may be a tensor, to NumPy")


def _modules(cls: Any) -> list[ModuleType]:
    """The modules of the class and of the bases that its own package brings."""
    root = cls.__module__.partition(".")[0]
    names = {base.__module__: None for base in getattr(cls, "__mro__", (cls,))}
    return [
        sys.modules[name]
        for name in names
        if name.partition(".")[0] == root
        and not name.startswith("dl_techniques.core.")
        and name in sys.modules
    ]


def _tree(module: ModuleType) -> ast.Module | None:
    try:
        return ast.parse(inspect.getsource(module))
    except (OSError, TypeError):
        return None


def _numpy_on_arguments(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Calls of NumPy, in what is called with tensors, on one of its arguments as a whole."""
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "numpy"
    }
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or function.name not in _TAKES_TENSORS:
            continue
        tensors = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)} - {"self"}
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and _root_name(node.func) in aliases:
                for argument in node.args:
                    if isinstance(argument, ast.Name) and argument.id in tensors:
                        yield node.lineno, argument.id


def _root_name(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
