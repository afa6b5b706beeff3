"""Read signature and docstring of a component from its source, without importing it."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from dl_techniques.core.entry import Entry

_LONGEST: Final = 88
_DEFINITIONS: Final = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_Parameters = dict[str, str]


class SourceText(NamedTuple):
    """Signature and docstring of a component."""

    signature: str
    """As it would be called, with the parameters of bases that `**kwargs` leads to."""
    docstring: str


class _Found(NamedTuple):
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    tree: ast.Module
    module: str


def read_source(entry: Entry) -> SourceText | None:
    """Read what a component's source says; `None` if there is no source to read.

    Args:
        entry: The component.
    """
    module, _, name = entry.object.partition(":")
    root = _root(Path(entry.location).parent, module)
    found = _find(root, module, name) if root is not None else None
    if root is None or found is None:
        return None
    documentation = inspect.cleandoc(ast.get_docstring(found.node) or "")
    if not isinstance(found.node, ast.ClassDef):
        return SourceText(_signature(name, _parameters(found.node)), documentation)
    parameters: _Parameters = {}
    inherited: list[str] = []
    for base in _line(root, found):
        function = _constructor(base)
        if function is None:
            continue
        taken = _parameters(function, bound=True)
        new = {k: v for k, v in taken.items() if k not in parameters}
        if base is not found:
            known = "\n".join([documentation, *inherited])
            inherited += _arguments(ast.get_docstring(base.node) or "", taken, known)
        is_open = function.args.kwarg is not None
        variadic = {k: parameters.pop(k) for k in list(parameters) if k.startswith("**")}
        parameters |= new
        if not is_open:
            break
        last = {k: parameters.pop(k) for k in list(parameters) if k.startswith("**")} or variadic
        parameters |= last
    if inherited:
        documentation += "\n\nInherited arguments:\n" + "\n".join(inherited)
    return SourceText(_signature(name, parameters), documentation)


def _root(folder: Path, module: str) -> Path | None:
    """Return the folder from which a module is imported, given that of its manifest."""
    parts = module.split(".")
    for count in range(len(parts), 0, -1):
        if tuple(parts[:count]) == folder.parts[-count:]:
            return folder.parents[count - 1]
    return None


def _find(root: Path, module: str, name: str) -> _Found | None:
    file = root.joinpath(*module.split("."))
    for candidate in (file.with_suffix(".py"), file / "__init__.py"):
        try:
            tree = ast.parse(candidate.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        for node in tree.body:
            if isinstance(node, _DEFINITIONS) and node.name == name:
                return _Found(node, tree, module)
    return None


def _line(root: Path, found: _Found) -> Iterator[_Found]:
    """Iterate over a class and its bases with source in the same place, nearest first."""
    pending, seen = [found], set()
    while pending:
        current = pending.pop(0)
        if (current.module, current.node.name) in seen:
            continue
        seen.add((current.module, current.node.name))
        yield current
        assert isinstance(current.node, ast.ClassDef)
        bases = (_base(root, current, ast.unparse(base)) for base in current.node.bases)
        pending += [base for base in bases if base and isinstance(base.node, ast.ClassDef)]


def _base(root: Path, found: _Found, name: str) -> _Found | None:
    for node in found.tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _Found(node, found.tree, found.module)
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = found.module.split(".")[: -node.level] if node.level else []
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _find(root, ".".join([*parts, node.module]), alias.name)
    return None


def _constructor(found: _Found) -> ast.FunctionDef | None:
    own = (node for node in found.node.body if isinstance(node, ast.FunctionDef))
    return next((node for node in own if node.name == "__init__"), None)


def _parameters(
    function: ast.FunctionDef | ast.AsyncFunctionDef, *, bound: bool = False
) -> _Parameters:
    """Return each parameter's text by its name; variadic ones keep their stars."""
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    found = {a.arg: _text(a, d) for a, d in zip(plain, defaults, strict=True)}
    if bound and plain:
        del found[plain[0].arg]
    if arguments.vararg is not None:
        found[f"*{arguments.vararg.arg}"] = f"*{_text(arguments.vararg, None)}"
    elif arguments.kwonlyargs:
        found["*"] = "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found[argument.arg] = _text(argument, default)
    if arguments.kwarg is not None:
        found[f"**{arguments.kwarg.arg}"] = f"**{_text(arguments.kwarg, None)}"
    return found


def _text(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg
    if argument.annotation is not None:
        text += f": {ast.unparse(argument.annotation)}"
    if default is not None:
        sign = " = " if argument.annotation is not None else "="
        text += f"{sign}{ast.unparse(default)}"
    return text


def _signature(name: str, parameters: _Parameters) -> str:
    line = f"{name}({', '.join(parameters.values())})"
    if len(line) <= _LONGEST:
        return line
    rows = "".join(f"    {parameter},\n" for parameter in parameters.values())
    return f"{name}(\n{rows})"


def _arguments(docstring: str, names: _Parameters, documented: str) -> list[str]:
    """Return the lines of a base's `Args:` about parameters that a class does not describe."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", inspect.cleandoc(docstring), re.M)
    items = re.split(r"^    (?=\S)", section[1] if section else "", flags=re.M)
    return [
        f"    {item.rstrip()}"
        for item in items
        for name in [item.partition(":")[0].partition(" ")[0]]
        if name in names and not re.search(rf"^\s*{re.escape(name)}\b[^\n]*:", documented, re.M)
    ]
