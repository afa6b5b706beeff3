"""Rules that hold for the sources of all distributions, read as syntax trees."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SOURCES = sorted(ROOT.glob("packages/*/src/**/*.py"))
PYPROJECTS = sorted(ROOT.glob("packages/*/pyproject.toml"))
BACKENDS = {"tensorflow", "jax", "torch", "flax"}

# A backend's own gradient or compiler is the thing called there; each import says so.
MAY_NAME_BACKENDS = (
    "core/testing/",
    "weights/deployment/backends.py",
    "weights/deployment/torch_graph.py",
)

OURS = {path.parent.name for path in PYPROJECTS}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def test_there_are_sources_to_read():
    assert len(SOURCES) > 30
    assert len(PYPROJECTS) >= 3


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_only_public_keras_and_no_backend(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed = any(part in relative(path) for part in MAY_NAME_BACKENDS)
    for line, module in imports(tree):
        assert not module.startswith("keras.src"), f"{relative(path)}:{line}: {module} is private"
        root = module.partition(".")[0]
        assert allowed or root not in BACKENDS, f"{relative(path)}:{line}: imports {root}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "src":
            assert not (isinstance(node.value, ast.Name) and node.value.id == "keras"), (
                f"{relative(path)}:{node.lineno}: keras.src is private"
            )


LAZY = [p for p in SOURCES if p.name == "__init__.py" and "serve(" in p.read_text("utf-8")]


@pytest.mark.parametrize("path", LAZY, ids=relative)
def test_a_package_that_serves_its_names_has_a_stub_with_all_of_them(path):
    """Otherwise type checkers and editors know none of its names."""
    parts = path.parent.parts
    module = ".".join(parts[parts.index("dl_techniques") :])
    served = set(pytest.importorskip(module).__all__)
    named: set[str] = set()
    for node in ast.walk(ast.parse(path.with_suffix(".pyi").read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            named |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            named |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    assert served <= named, served - named


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_the_library_never_prints_nor_swallows(path):
    if "/core/cli/" in path.as_posix():
        pytest.skip("the command line prints")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{relative(path)}:{node.lineno}: prints"
        if isinstance(node, ast.ExceptHandler):
            only_pass = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
            )
            assert not (only_pass and broad), f"{relative(path)}:{node.lineno}: swallows all"


def test_nothing_hides_the_siblings_of_the_namespace():
    for folder in ROOT.glob("packages/*/src/dl_techniques"):
        assert not (folder / "__init__.py").exists()
        assert not (folder / "models" / "__init__.py").exists()


def test_each_import_path_has_one_owner_that_declares_it():
    owners: dict[str, str] = {}
    for path in PYPROJECTS:
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        assert set(project["import-namespaces"]) <= {"dl_techniques", "dl_techniques.models"}
        source = path.parent / "src"
        inner = [*source.glob("dl_techniques/*"), *source.glob("dl_techniques/models/*")]
        folders = {
            ".".join(folder.relative_to(source).parts): folder
            for folder in inner
            if (folder / "__init__.py").exists()
        }
        assert folders.keys() == set(project["import-names"])
        for package, folder in folders.items():
            assert owners.setdefault(package, project["name"]) == project["name"]
            assert (folder / "py.typed").exists()


def unbounded(requirement: str) -> bool:
    """Return whether pip could take another project's distribution of the same name."""
    parsed = Requirement(requirement)
    return parsed.name.startswith("dlt-") and not any(
        specifier.operator in {"<", "<="} for specifier in parsed.specifier
    )


def test_unbounded_requirements_are_recognised():
    assert unbounded("dlt-core")
    assert unbounded("dlt-core[jax]>=0.1")
    assert not unbounded("dlt-core[jax]>=0.1,<1")
    assert not unbounded("numpy")


@pytest.mark.parametrize("path", PYPROJECTS, ids=relative)
def test_every_dependency_on_ours_has_a_ceiling(path):
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {}).values()
    requirements = [*project["dependencies"], *(r for extra in extras for r in extra)]
    assert not [r for r in requirements if unbounded(r)]


def test_every_install_line_in_the_documents_has_a_ceiling():
    name = re.compile(r"(?<![\w/.-])(dlt-[a-z]+(?:-[a-z]+)*)(\[[^\]]*\])?([^\s'\"`]*)")
    seen = 0
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/*.md")]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if "pip install" not in line or " -e " in line:
                continue
            for match in name.finditer(line.partition("pip install")[2]):
                seen += 1
                assert "<" in match[3], f"{relative(path)}:{number}: {match[0]} has no ceiling"
    assert seen, "no document says how to install anything"
