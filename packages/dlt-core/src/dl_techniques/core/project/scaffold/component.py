"""Generate one component inside a project that exists: class, test, manifest."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template
from typing import Final

from dl_techniques.core.project.owners import generate_owners
from dl_techniques.core.project.scaffold import KINDS, TEMPLATES, declared_name, module_name
from dl_techniques.core.project.scan import (
    Package,
    find_packages,
    generate,
    read_project,
    scan,
)

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_FAMILY: Final = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*")


def create_component(name: str, kind: str, project: Path, family: str = "") -> list[Path]:
    """Write a component with its test into a project, and bring the generated files up to date.

    Args:
        name: The name of the class or function, such as `"FancyNorm"`.
        kind: Its kind, one of `KINDS`.
        project: The folder of the project, with its `pyproject.toml`.
        family: The sub-package that it goes into, such as `"norms"`; made if it is new.

    Returns:
        The files that were written.

    Raises:
        ValueError: If the name, the kind or the family is malformed, or the name is taken.
        FileExistsError: If one of the files exists.
    """
    _require_names(name, kind, family)
    package = _package_for(kind, find_packages([project]))
    records = scan(package)
    if name in {key.partition(">")[2] for r in records for key in (r.id, *r.aliases)}:
        raise ValueError(f"`name` must be new in {package.name}. Received: name={name!r}")
    namespace = records[0].id.partition(">")[0] if records else package.name.partition(".")[0]
    module = module_name(name)
    folder = package.folder.joinpath(*family.split(".")) if family else package.folder
    dotted = ".".join([package.name, *(family.split(".") if family else ()), module])
    source = folder / f"{module}.py"
    test = _tests(project, family) / f"test_{module}.py"
    for file in (source, test):
        if file.exists():
            raise FileExistsError(f"{file} exists already.")
    texts = {source: _source(kind, name, namespace, package.name)}
    for parent in (folder, *folder.parents):
        if parent == package.folder or (parent / "__init__.py").exists():
            break
        texts[parent / "__init__.py"] = _template("__init__.py")
    values = {"name": name, "module": dotted, "id": f"{namespace}>{name}"}
    known = "layer" if kind == "layer" else "component"
    texts[test] = Template(_template(f"test_{known}.py")).substitute(values)
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    written = list(texts)
    generated = generate(package)
    for item in (*generated, *generate_owners(package.folder, generated)):
        if item.drifted:
            item.write()
            written.append(item.path)
    return written


def _require_names(name: str, kind: str, family: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ValueError(
            "`name` must be a Python name such as FancyNorm for a component inside a project. "
            f"Received: name={name!r}"
        )
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: kind={kind!r}")
    if family and not _FAMILY.fullmatch(family):
        raise ValueError(
            f"`family` must be a sub-package such as norms. Received: family={family!r}"
        )


def _package_for(kind: str, packages: list[Package]) -> Package:
    """Return the package of a project that holds components of a kind."""
    if len(packages) == 1:
        return packages[0]
    plural = {"activation": "layers", "loss": "losses"}.get(kind, f"{kind}s")
    found = [p for p in packages if p.name.rpartition(".")[2] == plural]
    if not found:
        names = ", ".join(package.name for package in packages)
        raise ValueError(f"`kind` must fit one of the packages {names}. Received: kind={kind!r}")
    return found[0]


def _tests(project: Path, family: str) -> Path:
    """Return the folder of a project's tests: its own, or its part of the workspace's."""
    name = read_project(project / "pyproject.toml").get("project", {}).get("name", "")
    shared = project.absolute().parents[1] / "tests" / name
    return (shared if shared.is_dir() else project / "tests").joinpath(*family.split("."))


def _template(name: str) -> str:
    return (TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")


def _source(kind: str, name: str, namespace: str, package: str) -> str:
    """Return the template of a kind under another name."""
    text = _template(f"components/{kind}.py")
    text = re.sub(rf"\b{declared_name(text)}\b", name, text)
    text = text.replace("$package>", f"{namespace}>")
    return Template(text).substitute(package=package, name=name, distribution=package)
