"""The rooms of the core: imports go down only, from the command line to the ground."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "packages/dlt-core/src/dl_techniques/core"
PACKAGE = "dl_techniques.core"
GROUND = ("__about__", "atomic_write", "entry", "errors", "lazy", "strict_json", "text")
LEVELS = (
    GROUND,
    ("contract",),
    ("registry",),
    ("files", "parts", "project"),
    ("doctor",),
    # `inspection` is the module path of the first release.
    ("testing", "inspection"),
    ("cli",),
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
FILES = sorted(path for path in CORE.rglob("*.py") if path != CORE / "__init__.py")


def room_of(module: str) -> str | None:
    """The room of a module of the core; `None` for the core's public names and other packages."""
    inside = module.removeprefix(f"{PACKAGE}.")
    return None if inside == module else inside.partition(".")[0]


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            yield from ((node.lineno, f"{PACKAGE}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def upward(source: str, room: str) -> list[str]:
    """The imports of a module that go up, or sideways into a room of the same level."""
    found = []
    for line, module in imported(ast.parse(source)):
        target = room_of(module)
        if target not in {None, room} and (
            target not in LEVEL_OF
            or LEVEL_OF[target] > LEVEL_OF[room]
            or (LEVEL_OF[target] == LEVEL_OF[room] and room not in GROUND)
        ):
            found.append(f"line {line} imports {module}")
    return found


def test_every_file_is_in_a_room():
    assert {path.relative_to(CORE).parts[0].removesuffix(".py") for path in FILES} == {*LEVEL_OF}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CORE).as_posix())
def test_imports_go_down(path):
    room = path.relative_to(CORE).parts[0].removesuffix(".py")
    assert upward(path.read_text(encoding="utf-8"), room) == []


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("contract", "from dl_techniques.core.registry.registry import registry"),
        ("registry", "import dl_techniques.core.files.save"),
        ("files", "from dl_techniques.core.project.scan import Package"),
        ("testing", "def f():\n    from dl_techniques.core.cli import main"),
        ("entry", "from dl_techniques.core import load_model"),
    ],
)
def test_an_upward_import_is_found(room, line):
    assert len(upward(line, room)) == 1


PACKAGES = CORE.parents[3]


def owners() -> dict[str, str]:
    """Import path of a package -> the distribution that brings it."""
    found = {}
    for project in PACKAGES.glob("*/pyproject.toml"):
        settings = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        found |= dict.fromkeys(settings["import-names"], settings["name"])
    return found


@pytest.mark.parametrize("name", sorted(path.parent.name for path in PACKAGES.glob("*/*.toml")))
def test_a_distribution_imports_only_those_that_it_declares(name):
    project = tomllib.loads((PACKAGES / name / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {re.match(r"[\w-]+", text)[0] for text in project["project"]["dependencies"]}
    known, foreign = owners(), {}
    for path in (PACKAGES / name / "src").rglob("*.py"):
        for line, module in imported(ast.parse(path.read_text(encoding="utf-8"))):
            owner = next((known[p] for p in known if f"{module}.".startswith(f"{p}.")), name)
            if owner not in declared | {name}:
                foreign[f"{path.name}:{line}"] = owner
    assert not foreign
