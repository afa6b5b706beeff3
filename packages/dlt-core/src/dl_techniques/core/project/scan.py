"""Reading `@component` declarations as syntax, and writing what follows from them.

`dl-techniques manifest write` makes two files for each package of components: `components.json`,
which the registry reads, and `__init__.pyi`, which editors and type checkers read where
`__init__.py` exports lazily. The code that is scanned is never imported.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dl_techniques.core.atomic_write import replacing
from dl_techniques.core.contract.identifier import parse_identifier
from dl_techniques.core.entry import Entry
from dl_techniques.core.registry.discovery import COMPONENTS_GROUP
from dl_techniques.core.registry.manifest import (
    FILENAME,
    KEYS,
    Manifest,
    parse_component,
    to_json,
)

STUB = "__init__.pyi"

_KEYWORDS = frozenset(KEYS) - {"id", "object", "summary"}
_CORE = __name__.partition(".")[0]
_LAZY = "dl_techniques.core.lazy import exports"

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class ScanError(ValueError):
    """A declaration that cannot be read; the text begins with `file:line`."""


class Package(NamedTuple):
    """A package of components on disk."""

    name: str
    """Its dotted import name."""
    folder: Path


class Generated(NamedTuple):
    """One generated file and what it should hold; `None` if it should not exist."""

    path: Path
    text: str | None

    @property
    def current(self) -> str | None:
        """The file's content; `None` if it does not exist."""
        return self.path.read_text(encoding="utf-8") if self.path.is_file() else None

    @property
    def drifted(self) -> bool:
        """Return whether the file differs from what it should hold."""
        return self.current != self.text

    def diff(self) -> str:
        """The difference, as `diff -u` shows it."""
        lines = difflib.unified_diff(
            (self.current or "").splitlines(keepends=True),
            (self.text or "").splitlines(keepends=True),
            f"{self.path} (on disk)",
            f"{self.path} (from the code)",
        )
        return "".join(lines)

    def write(self) -> None:
        """Bring the file up to date."""
        if self.text is None:
            self.path.unlink(missing_ok=True)
            return
        with replacing(self.path) as temporary:
            temporary.write_text(self.text, encoding="utf-8")


def find_packages(paths: Sequence[Path] = (), *, start: Path | None = None) -> list[Package]:
    """The packages that entry points of pyproject files name.

    Args:
        paths: Projects (folders with a `pyproject.toml`), pyproject files, or folders that hold
            projects below `packages/`. By default the nearest one at or above `start`.
        start: Where to begin to look upwards; by default the working directory.

    Raises:
        FileNotFoundError: If there is no project, or a package has no folder.
        ScanError: If a project names no package of components, or cannot be read.
    """
    roots = paths or [_nearest(start or Path.cwd())]
    projects = [project for root in roots for project in _projects(root)]
    if not projects:
        raise FileNotFoundError(f"No pyproject.toml in {', '.join(map(str, paths))}.")
    found = [package for project in projects for package in packages_of(project)]
    if not found:
        raise ScanError(
            f"{projects[0]}: no entry point in the group {COMPONENTS_GROUP!r}. A package of "
            f'components is named there once: name = "package:{FILENAME}"'
        )
    return list(dict.fromkeys(found))


def generate_all(packages: Sequence[Package]) -> list[Generated]:
    """All generated files of several packages.

    Args:
        packages: The packages to read.

    Raises:
        ScanError: If a declaration cannot be read, or two of them clash, in one package or in two.
    """
    owners: dict[str, str] = {}
    for package in packages:
        for record in scan(package):
            for key in (record.id, *record.aliases):
                owner = owners.setdefault(key, package.name)
                if owner != package.name:
                    raise ScanError(f"{package.folder}:1: {key!r} is already taken in {owner}")
    return [file for package in packages for file in generate(package)]


def generate(package: Package) -> list[Generated]:
    """All generated files of a package, with the text that they should hold.

    Args:
        package: The package to read.

    Raises:
        ScanError: If a declaration cannot be read, or two of them clash.
    """
    records = scan(package)
    namespaces = {record.id.partition(">")[0] for record in records}
    if len(namespaces) > 1:
        raise ScanError(
            f"{package.folder}:1: all components of a package share one namespace. "
            f"Received: {', '.join(sorted(namespaces))}"
        )
    namespace = namespaces.pop() if namespaces else package.name.partition(".")[0]
    text = Manifest(namespace, package.name, tuple(records)).to_json()
    # The reader's own rules are the last check of the text.
    parsed = Manifest.parse(text.encode(), package=package.name)
    if parsed.faults:
        raise ScanError(f"{package.folder}:1: {'; '.join(parsed.faults)}")
    files = [Generated(package.folder / FILENAME, text)]
    for file in _modules(package):
        # A package that exports by hand documents itself, and may have a stub of its own.
        if file.name == "__init__.py" and _LAZY.encode() in file.read_bytes():
            dotted = _module_name(package, file)
            inside = [r for r in parsed.components if r.object.startswith(f"{dotted}.")]
            files.append(Generated(file.parent / STUB, _stub(inside) if inside else None))
    return files


def scan(package: Package) -> list[Entry]:
    """The components that a package declares, sorted by identifier.

    Args:
        package: The package to read.

    Raises:
        ScanError: If a declaration cannot be read, or two of them clash.
    """
    records: dict[str, Entry] = {}
    places: dict[str, str] = {}
    for file in _modules(package):
        for place, record in _declarations(file, _module_name(package, file), package.name):
            identifiers = (record.id, *record.aliases)
            importable = (key.partition(">")[2] for key in identifiers)
            keys = {*identifiers, *importable, record.object.partition(":")[2]}
            for key in sorted(keys & places.keys()):
                raise ScanError(f"{place}: {key!r} is already taken at {places[key]}")
            places.update(dict.fromkeys(keys, place))
            records[record.id] = record
    return [records[key] for key in sorted(records)]


def _nearest(start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / "pyproject.toml").is_file():
            return folder
    raise FileNotFoundError(f"No pyproject.toml in {start} or above it.")


def _projects(path: Path) -> list[Path]:
    """The pyproject files that a path stands for: its own, or those of a workspace."""
    file = path if path.name == "pyproject.toml" else path / "pyproject.toml"
    return [project for project in (file, *workspace_members(file.parent)) if project.is_file()]


def workspace_members(root: Path) -> list[Path]:
    """Return the pyproject files of a workspace's members, which lie below `packages/`.

    Args:
        root: The workspace's folder.
    """
    return sorted(root.glob("packages/*/pyproject.toml"))


def read_project(file: Path) -> dict[str, Any]:
    """Read a pyproject file.

    Args:
        file: Its path.

    Raises:
        ScanError: If it is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScanError(f"{file}:1: {error}") from error


def packages_of(project: Path) -> Iterator[Package]:
    """Iterate over the packages of components that a project's entry points name.

    Args:
        project: A pyproject file.

    Raises:
        FileNotFoundError: If a package has no folder.
        ScanError: If the file cannot be read, or an entry point is malformed.
    """
    group: Any = read_project(project)
    for key in ("project", "entry-points", COMPONENTS_GROUP):
        group = group.get(key, {}) if isinstance(group, dict) else {}
    for value in group.values() if isinstance(group, dict) else ():
        name, _, file = (part.strip() for part in str(value).partition(":"))
        parts = name.split(".")
        if file != FILENAME or not all(map(str.isidentifier, parts)):
            raise ScanError(
                f"{project}:1: an entry point of the group {COMPONENTS_GROUP!r} must read "
                f"`package:{FILENAME}`. Received: {value!r}"
            )
        folders = [project.parent.joinpath(root, *parts) for root in ("src", "")]
        folder = next((folder for folder in folders if folder.is_dir()), None)
        if folder is None:
            raise FileNotFoundError(f"{project} names {name}, but there is no {folders[0]}.")
        yield Package(name, folder)


def _modules(package: Package) -> list[Path]:
    """All source files that can be imported by a dotted name."""
    files = sorted(package.folder.rglob("*.py"))
    # Editors and notebooks keep copies in folders such as `.ipynb_checkpoints`.
    return [
        file
        for file in files
        if all(map(str.isidentifier, file.relative_to(package.folder).parent.parts))
    ]


def _module_name(package: Package, file: Path) -> str:
    parts = file.relative_to(package.folder).with_suffix("").parts
    return ".".join([package.name, *parts]).removesuffix(".__init__")


def _declarations(file: Path, module: str, package: str) -> Iterator[tuple[str, Entry]]:
    try:
        # Bytes, because a source file may declare its own encoding.
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ScanError(f"{file}:{line}: {error}") from error
    foreign = _foreign_names(tree, {_CORE, package.partition(".")[0]})
    renamed = _renamed(tree)
    for node in ast.walk(tree):
        if not isinstance(node, Definition):
            continue
        for decorator in node.decorator_list:
            if not _is_component(decorator, foreign, renamed):
                continue
            place = f"{file}:{decorator.lineno}"
            if node not in tree.body:
                raise ScanError(f"{place}: {node.name} must be declared at the top of its module")
            if file.name == "__init__.py":
                raise ScanError(
                    f"{place}: {node.name} must be declared in a module of its own: importing "
                    "the package would import Keras"
                )
            yield place, _record(decorator, node, f"{module}:{node.name}", package, place)


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Each imported name with what it stands for; a leading dot where that is relative."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                yield name, alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                source = "." * node.level + (node.module or "")
                yield alias.asname or alias.name, f"{source}.{alias.name}"


def _foreign_names(tree: ast.Module, own: set[str]) -> set[str]:
    """Names that come from other projects, which have decorators named `component`, too."""
    return {name for name, origin in _imports(tree) if origin.partition(".")[0] not in {*own, ""}}


def _renamed(tree: ast.Module) -> set[str]:
    """Names under which the decorator was imported."""
    return {
        name
        for name, origin in _imports(tree)
        if origin.startswith(f"{_CORE}.core.") and origin.endswith(".component")
    }


def _is_component(decorator: ast.expr, foreign: set[str], renamed: set[str]) -> bool:
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    root = function
    while isinstance(root, ast.Attribute):
        root = root.value
    if isinstance(root, ast.Name) and root.id in foreign:
        return False
    return name == "component" or (root is function and name in renamed)


def _record(decorator: ast.expr, node: Definition, address: str, package: str, place: str) -> Entry:
    arguments = _arguments(decorator, place)
    summary = (ast.get_docstring(node) or "").strip().partition("\n")[0]
    if not summary:
        raise ScanError(f"{place}: {node.name} needs a docstring; its first line is listed")
    record = Entry(object=address, summary=summary, **arguments)
    try:
        identifier = parse_identifier(record.id)
        # The reader's own rules, here where the line is known.
        record = parse_component(to_json(record), identifier.namespace, package)
    except ValueError as error:
        raise ScanError(f"{place}: {error}") from error
    for key in (record.id, *record.aliases):
        if keyword.iskeyword(key.partition(">")[2]):
            raise ScanError(f"{place}: {key!r} cannot be imported by its name, a keyword of Python")
    return record


def _arguments(decorator: ast.expr, place: str) -> dict[str, Any]:
    """The literals that the decorator is given, by their names."""
    if (
        not isinstance(decorator, ast.Call)
        or len(decorator.args) != 1
        or any(argument.arg is None for argument in decorator.keywords)
    ):
        raise ScanError(f"{place}: `component` takes one identifier and keywords, written out")
    arguments: dict[str, Any] = {"id": _literal(decorator.args[0], "id", place)}
    for argument in decorator.keywords:
        if argument.arg not in _KEYWORDS:
            raise ScanError(f"{place}: `component` has no argument {argument.arg!r}")
        value = _literal(argument.value, argument.arg, place)
        arguments[argument.arg] = tuple(value) if isinstance(value, list) else value
    arguments.setdefault("kind", None)
    return arguments


def _literal(node: ast.expr, name: str, place: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ScanError(
            f"{place}: `{name}` must be a literal, because it is read without importing the "
            f"module. Received: {ast.unparse(node)}"
        ) from error


def _stub(records: Sequence[Entry]) -> str:
    """Re-exports for type checkers: classes and functions, then their further names."""
    lines = []
    names = []
    for record in sorted(records, key=lambda record: record.object):
        module, _, name = record.object.partition(":")
        lines.append(f"from {module} import {name} as {name}\n")
        names.append(name)
    aliases = [
        (alias.partition(">")[2], record.object.partition(":")[2])
        for record in records
        for alias in record.aliases
    ]
    # The bare name of an identifier is importable, too, where the class has another.
    aliases += [
        (record.id.partition(">")[2], record.object.partition(":")[2])
        for record in records
        if record.id.partition(">")[2] != record.object.partition(":")[2]
    ]
    lines += [f"{alias} = {name}\n" for alias, name in sorted(aliases)]
    exported = sorted({*names, *(alias for alias, _ in aliases)})
    listed = "".join(f'    "{name}",\n' for name in exported)
    return f"{''.join(lines)}\n__all__ = [\n{listed}]\n"
