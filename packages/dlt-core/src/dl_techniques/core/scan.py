"""Reading `@component` declarations as syntax, and writing what follows from them.

`dl-techniques manifest write` makes two files for each package of components: `components.json`,
which the registry reads, and `__init__.pyi`, which editors and type checkers read. The code that
is scanned is never imported.
"""

from __future__ import annotations

import ast
import difflib
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dl_techniques.core.atomic import replacing
from dl_techniques.core.distributions import COMPONENTS_GROUP
from dl_techniques.core.identifier import KINDS, parse_identifier
from dl_techniques.core.manifest import FILENAME, Manifest, Record

STUB = "__init__.pyi"

_KEYWORDS = frozenset(Record._fields) - {"id", "object", "summary"}


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
        """What the file holds now; `None` if there is none."""
        return self.path.read_text(encoding="utf-8") if self.path.is_file() else None

    @property
    def drifted(self) -> bool:
        """Whether the file differs from what it should hold."""
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
    found = [package for project in projects for package in _packages(project)]
    if not found:
        raise ScanError(
            f"{projects[0]}: no entry point in the group {COMPONENTS_GROUP!r}. A package of "
            f'components is named there once: name = "package:{FILENAME}"'
        )
    return found


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
    manifest = Manifest(namespace, package.name, tuple(records))
    text = manifest.to_json()
    # What is written must be what is read: the reader's own rules are the last check.
    parsed = Manifest.parse(text.encode(), package=package.name)
    if parsed.faults:
        raise ScanError(f"{package.folder}:1: {'; '.join(parsed.faults)}")
    files = [Generated(package.folder / FILENAME, text)]
    for folder in sorted(path.parent for path in package.folder.rglob("__init__.py")):
        dotted = ".".join([package.name, *folder.relative_to(package.folder).parts])
        inside = [r for r in parsed.components if r.object.startswith(f"{dotted}.")]
        files.append(Generated(folder / STUB, _stub(inside) if inside else None))
    return files


def scan(package: Package) -> list[Record]:
    """The components that a package declares, sorted by identifier.

    Args:
        package: The package to read.

    Raises:
        ScanError: If a declaration cannot be read, or two of them clash.
    """
    records: dict[str, Record] = {}
    places: dict[str, str] = {}
    for file in sorted(package.folder.rglob("*.py")):
        module = ".".join([package.name, *file.relative_to(package.folder).with_suffix("").parts])
        module = module.removesuffix(".__init__")
        for place, record in _declarations(file, module):
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
    members = sorted(file.parent.glob("packages/*/pyproject.toml"))
    return members or ([file] if file.is_file() else [])


def _packages(project: Path) -> Iterator[Package]:
    try:
        data = tomllib.loads(project.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScanError(f"{project}:1: {error}") from error
    group = data.get("project", {}).get("entry-points", {}).get(COMPONENTS_GROUP, {})
    for value in group.values():
        name = str(value).partition(":")[0].strip()
        parts = name.split(".")
        folders = [project.parent.joinpath(root, *parts) for root in ("src", "")]
        folder = next((folder for folder in folders if folder.is_dir()), None)
        if folder is None:
            raise FileNotFoundError(f"{project} names {name}, but there is no {folders[0]}.")
        yield Package(name, folder)


def _declarations(file: Path, module: str) -> Iterator[tuple[str, Record]]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except (SyntaxError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ScanError(f"{file}:{line}: {error}") from error
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            if not _is_component(decorator):
                continue
            place = f"{file}:{decorator.lineno}"
            if node not in tree.body:
                raise ScanError(f"{place}: {node.name} must be declared at the top of its module")
            assert isinstance(decorator, ast.Call)
            yield place, _record(decorator, node, module, place)


def _is_component(decorator: ast.expr) -> bool:
    if not isinstance(decorator, ast.Call):
        return False
    function = decorator.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    return name == "component"


def _record(
    call: ast.Call, node: ast.ClassDef | ast.FunctionDef, module: str, place: str
) -> Record:
    if len(call.args) != 1 or any(keyword.arg is None for keyword in call.keywords):
        raise ScanError(f"{place}: `component` takes one identifier and keywords, written out")
    arguments: dict[str, Any] = {"id": _literal(call.args[0], "id", place)}
    for keyword in call.keywords:
        if keyword.arg not in _KEYWORDS:
            raise ScanError(f"{place}: `component` has no argument {keyword.arg!r}")
        value = _literal(keyword.value, keyword.arg, place)
        arguments[keyword.arg] = tuple(value) if isinstance(value, list) else value
    try:
        parse_identifier(arguments["id"])
    except ValueError as error:
        raise ScanError(f"{place}: {error}") from error
    if arguments.get("kind") not in KINDS:
        raise ScanError(
            f"{place}: `kind` must be one of {', '.join(KINDS)}. "
            f"Received: kind={arguments.get('kind')!r}"
        )
    summary = (ast.get_docstring(node) or "").strip().partition("\n")[0]
    if not summary:
        raise ScanError(f"{place}: {node.name} needs a docstring; its first line is listed")
    return Record(object=f"{module}:{node.name}", summary=summary, **arguments)


def _literal(node: ast.expr, name: str, place: str) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ScanError(
            f"{place}: `{name}` must be a literal, because it is read without importing the "
            f"module. Received: {ast.unparse(node)}"
        ) from error


def _stub(records: Sequence[Record]) -> str:
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
