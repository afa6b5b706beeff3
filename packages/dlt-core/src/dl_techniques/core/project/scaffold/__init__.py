"""Generating a plugin: a whole distribution with one working component."""

from __future__ import annotations

import ast
import keyword
import re
import sys
import tempfile
from pathlib import Path
from string import Template
from typing import Final

from dl_techniques.core.contract.identifier import FIRST_PARTY_NAMESPACE, RESERVED_NAMESPACES
from dl_techniques.core.project.scan import Package, generate

TEMPLATES: Final = Path(__file__).parent / "templates"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_.][A-Za-z0-9]+)*")
_LONGEST: Final = 64  # what the namespace of an identifier may have
# A package of such a name would hide what plugins need, or its own tests.
_NEEDED: Final = {"jax", "numpy", "pluggy", "h5py", "pytest", "tensorflow", "tests", "torch"}

KINDS: Final = tuple(
    sorted(path.name.partition(".")[0] for path in (TEMPLATES / "components").glob("*.py.txt"))
)
"""The kinds that a plugin can begin with."""


def create_plugin(name: str, kind: str, directory: Path) -> Path:
    """Write a distribution into a new folder of its name; all of it or nothing.

    Args:
        name: The distribution's name, such as `"acme-gates"`; the import package is the same in
            lower case with underscores.
        kind: The kind of its component, one of `KINDS`.
        directory: Where the folder is made.

    Returns:
        The new folder.

    Raises:
        ValueError: If the name is malformed or taken, or there is no template for the kind.
        FileExistsError: If the folder exists.
        NotADirectoryError: If `directory` does not exist.
    """
    package = package_of(name)
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: kind={kind!r}")
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is not a folder.")
    target = directory / name
    if target.exists():
        raise FileExistsError(f"{target} exists already.")
    # Made beside its place and renamed, so that a failure leaves nothing half-written.
    with tempfile.TemporaryDirectory(dir=directory, prefix=f".{name}-") as folder:
        staged = Path(folder) / name
        _write(staged, name, package, kind)
        for file in generate(Package(package, staged / "src" / package)):
            file.write()
        staged.rename(target)
    return target


def package_of(name: str) -> str:
    """The import package for a distribution's name.

    Args:
        name: The distribution's name.

    Raises:
        ValueError: If the name is malformed or taken; it says which.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise ValueError(
            "`name` must be letters and digits with single hyphens between them, such as "
            f"acme-gates, at most {_LONGEST} characters. Received: name={name!r}"
        )
    package = re.sub(r"[-_.]+", "_", name).lower()
    taken = {FIRST_PARTY_NAMESPACE, *RESERVED_NAMESPACES, *_NEEDED, *sys.stdlib_module_names}
    # Names that begin with `dlt` belong to another project on PyPI, or to this one.
    if package in taken or package.startswith("dlt") or keyword.iskeyword(package):
        raise ValueError(f"The name {name!r} is taken. Received: name={name!r}")
    return package


def declared_name(code: str) -> str:
    """Return the name of the component that a template declares.

    Args:
        code: The template.
    """
    return next(
        node.name
        for node in ast.parse(code.replace("$", "")).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    )


def module_name(name: str) -> str:
    """Return the name of the module that a class or function goes into.

    Args:
        name: The class or function.

    Example:
        >>> module_name("RMSNorm")
        'rms_norm'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _write(folder: Path, name: str, package: str, kind: str) -> None:
    code = (TEMPLATES / "components" / f"{kind}.py.txt").read_text(encoding="utf-8")
    declared = declared_name(code)
    module = module_name(declared)
    values = {"distribution": name, "package": package, "name": declared}
    for template, path in (
        ("pyproject.toml", folder / "pyproject.toml"),
        ("README.md", folder / "README.md"),
        ("LICENSE", folder / "LICENSE"),
        ("__init__.py", folder / "src" / package / "__init__.py"),
        (f"components/{kind}.py", folder / "src" / package / f"{module}.py"),
        ("test_conformance.py", folder / "tests" / "test_conformance.py"),
    ):
        text = (TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(text).substitute(values), encoding="utf-8")
    (folder / "src" / package / "py.typed").touch()
