"""How a component is registered, and what its source imports."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

import keras

from dl_techniques.core.testing.check import ANY, NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject

_BACKENDS = frozenset({"tensorflow", "jax", "torch", "flax"})


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


@check(kinds=ANY)
def backend_purity(subject: Subject) -> None:
    """The source imports public Keras and no backend, and calls no `.numpy()`."""
    if subject.cls.__module__.partition(".")[0] == "keras":
        raise NotApplicable("one of Keras's own")
    try:
        source = inspect.getsource(inspect.getmodule(subject.cls) or subject.cls)
    except (OSError, TypeError) as error:
        raise NotApplicable("there is no source") from error
    tree = ast.parse(source)
    for line, module in _imports(tree):
        root = module.partition(".")[0]
        require(root not in _BACKENDS, f"line {line} imports the backend {root}")
        require(not module.startswith("keras.src"), f"line {line} imports the private {module}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            method = node.func.attr
            require(method != "numpy", f"line {node.lineno} calls `.numpy()`")


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
