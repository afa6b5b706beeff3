"""Write the table of Keras's built-ins that model files may name.

    python tools/scan_keras.py OUTPUT.json keras-3.8.0-py3-none-any.whl ... (oldest first)

Reads the wheels' sources without importing them: every class and function that
`@keras_export` publishes in a modelling module, the version that brought it, and for each later
constructor parameter the version that brought that and its default. Fetch a wheel with
`pip download --no-deps keras==VERSION`.
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

CLASS_MODULES = (
    "keras.constraints",
    "keras.dtype_policies",
    "keras.initializers",
    "keras.layers",
    "keras.losses",
    "keras.metrics",
    "keras.models",
    "keras.optimizers",
    "keras.optimizers.schedules",
    "keras.quantizers",
    "keras.regularizers",
)
ROOT_CLASSES = ("DTypePolicy", "FloatDTypePolicy", "Model", "Sequential")
SINGLE_CLASSES = ("keras.random.SeedGenerator",)
FUNCTION_MODULES = ("keras.activations", "keras.losses", "keras.metrics")
# These look up what the file names, which is the one thing that no file may do.
LOOKUPS = frozenset({"get", "serialize", "deserialize"})
# A functional model stores the operations between its layers under their private modules.
OPERATION_FILES = (
    "keras/src/activations/activations.py",
    "keras/src/ops/core.py",
    "keras/src/ops/einops.py",
    "keras/src/ops/image.py",
    "keras/src/ops/linalg.py",
    "keras/src/ops/math.py",
    "keras/src/ops/nn.py",
    "keras/src/ops/numpy.py",
)
FUNCTIONAL = ("keras.src.models.functional", "Functional")
# Operations that call a function given as an argument.
CALLING = frozenset({"f", "fn", "function", "cond", "body", "body_fun", "branches", "true_fn"})
CALLING_OPERATIONS = frozenset(
    {"AssociativeScan", "Cond", "ForiLoop", "Map", "Scan", "Switch", "VectorizedMap", "WhileLoop"}
)

# Stands for a missing default, or one that is not a literal.
REQUIRED = object()


class Scan(NamedTuple):
    """Return the content of one wheel: classes with their parameters, and functions."""

    classes: dict[str, dict[str, Any]]
    functions: set[str]


def main(output: str, wheels: list[str]) -> None:
    """Write the table."""
    scans = {Path(wheel).name.split("-")[1]: scan(wheel) for wheel in wheels}
    since: dict[str, str] = {}
    functions: dict[str, str] = {}
    added: dict[str, dict[str, Any]] = {}
    seen: dict[str, set[str]] = {}
    for version, found in scans.items():
        for name, parameters in found.classes.items():
            if name in since:
                for key in parameters.keys() - seen[name]:
                    if parameters[key] is not REQUIRED:
                        added.setdefault(name, {})[key] = [version, parameters[key]]
            since.setdefault(name, version)
        seen = {name: set(found.classes.get(name, ())) for name in since}
        for name in found.functions:
            functions.setdefault(name, version)
    table = {
        "keras": list(scans),
        "classes": nested(since),
        "functions": nested(functions),
        "added": {name: dict(sorted(keys.items())) for name, keys in sorted(added.items())},
    }
    Path(output).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(
        f"{len(since)} classes, {len(functions)} functions, {len(added)} with later parameters\n"
    )


def nested(names: dict[str, str]) -> dict[str, dict[str, str]]:
    """`module.Name -> version` as `module -> Name -> version`."""
    result: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        module, _, bare = name.rpartition(".")
        result.setdefault(module, {})[bare] = names[name]
    return result


def scan(wheel: str) -> Scan:
    """Read one wheel."""
    classes: dict[str, dict[str, Any]] = {".".join(FUNCTIONAL): {}}
    functions: set[str] = set()
    with zipfile.ZipFile(wheel) as archive:
        for path in archive.namelist():
            if path.startswith("keras/src/") and path.endswith(".py"):
                tree = ast.parse(archive.read(path))
                if path in OPERATION_FILES:
                    classes.update(operations(path, tree))
                exported(tree, classes, functions)
    return Scan(classes, functions)


def exported(tree: ast.Module, classes: dict[str, dict[str, Any]], functions: set[str]) -> None:
    """Add what a module publishes."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            for name in exports(node):
                module, _, bare = name.rpartition(".")
                if isinstance(node, ast.FunctionDef):
                    if module in FUNCTION_MODULES and bare not in LOOKUPS:
                        functions.add(name)
                elif (
                    module in CLASS_MODULES
                    or (module == "keras" and bare in ROOT_CLASSES)
                    or name in SINGLE_CLASSES
                ):
                    classes[name] = parameters(node)


def exports(node: ast.ClassDef | ast.FunctionDef) -> list[str]:
    """The public names of a definition."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "keras_export":
            names = ast.literal_eval(decorator.args[0])
            return [names] if isinstance(names, str) else list(names)
    return []


def operations(path: str, tree: ast.Module) -> dict[str, dict[str, Any]]:
    """The operations that a module defines, with their parameters."""
    module = path.removesuffix(".py").replace("/", ".")
    found: dict[str, dict[str, Any]] = {}
    known = {"Operation", "ops.Operation"}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} & known:
            known.add(node.name)
            arguments = parameters(node)
            if node.name not in CALLING_OPERATIONS and not CALLING & arguments.keys():
                found[f"{module}.{node.name}"] = arguments
    return found


def parameters(node: ast.ClassDef) -> dict[str, Any]:
    """The constructor's own parameters with their defaults, where these are literals.

    A constructor with `**kwargs` takes a `name` as well: all bases of Keras have one.
    """
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            names = item.args.args[1:]
            missing = len(names) - len(item.args.defaults)
            defaults: list[ast.expr | None] = [*[None] * missing, *item.args.defaults]
            pairs = [*zip(names, defaults, strict=True)]
            pairs += zip(item.args.kwonlyargs, item.args.kw_defaults, strict=True)
            inherited = {"name": None} if item.args.kwarg else {}
            return inherited | {name.arg: literal(default) for name, default in pairs}
    return {}


def literal(node: ast.expr | None) -> Any:
    """A default's value."""
    try:
        return REQUIRED if node is None else ast.literal_eval(node)
    except ValueError:
        return REQUIRED


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
