"""Find a package's folder in every way of installing, without running its code."""

from __future__ import annotations

import importlib
import sys
import types
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import pytest

from dl_techniques.core.registry.discovery import LocationError, package_folders, read_limited


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))


def found(package: str) -> tuple[str, ...]:
    importlib.invalidate_caches()
    folders = package_folders(package)
    top = package.partition(".")[0]
    imported = [name for name in sys.modules if name.partition(".")[0] == top]
    # A namespace package has no code that could run.
    assert all(getattr(sys.modules[name], "__file__", None) is None for name in imported)
    return folders


def test_a_nested_package_whose_parents_end_the_process(site: Any, tools: Any) -> None:
    top = site.name("nested")
    for package in (top, f"{top}.dl", f"{top}.dl.layers"):
        tools.write(site.package(package) / "__init__.py", "import os; os._exit(9)")
    assert found(f"{top}.dl.layers") == (str(site.folder / top / "dl" / "layers"),)


def test_a_package_inside_nested_namespaces_over_two_folders(
    site: Any, tools: Any, tmp_path: Path
) -> None:
    top = site.name("space")
    other = tmp_path / "other"
    for folder, leaf in ((site.folder, "one"), (other, "two")):
        leaf_folder = folder / top / "deep" / leaf
        leaf_folder.mkdir(parents=True)
        tools.write(leaf_folder / "__init__.py", "raise SystemExit")
    sys.path.append(str(other))
    assert found(f"{top}.deep.one") == (str(site.folder / top / "deep" / "one"),)
    assert found(f"{top}.deep.two") == (str(other / top / "deep" / "two"),)
    assert len(found(f"{top}.deep")) == 2
    assert package_folders(f"{top}.deep.two", [str(other)])
    with pytest.raises(LocationError):
        package_folders(f"{top}.deep.one", [str(other)])


def test_an_editable_install_through_a_finder(site: Any, tools: Any, tmp_path: Path) -> None:
    """As setuptools writes it: a finder that maps top-level names to source folders."""
    top = site.name("editable")
    source = tmp_path / "src" / "code"
    (source / "layers").mkdir(parents=True)
    for folder in (source, source / "layers"):
        tools.write(folder / "__init__.py", "raise SystemExit")

    class Finder:
        @classmethod
        def find_spec(cls, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
            if name != top and not name.startswith(f"{top}."):
                return None
            file = source.joinpath(*name.split(".")[1:], "__init__.py")
            return importlib.util.spec_from_file_location(name, file)

    sys.meta_path.append(Finder)  # type: ignore[arg-type]  # as setuptools does
    assert found(f"{top}.layers") == (str(source / "layers"),)


def test_an_editable_namespace_through_a_path_hook(site: Any, tools: Any, tmp_path: Path) -> None:
    """As setuptools writes it: a placeholder on the path, for which a hook knows namespaces."""
    top, placeholder = site.name("hooked"), f"__editable__.{site.serial}.__path_hook__"
    leaf = tmp_path / "src" / top / "leaf"
    leaf.mkdir(parents=True)
    tools.write(leaf / "__init__.py", "raise SystemExit")

    class Namespaces:
        @classmethod
        def hook(cls, path: str) -> type:
            if path != placeholder:
                raise ImportError
            return cls

        @classmethod
        def find_spec(cls, name: str, target: Any = None) -> ModuleSpec | None:
            if name != top:
                return None
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(tmp_path / "src" / top), placeholder]
            return spec

    sys.path_hooks.append(Namespaces.hook)
    sys.path.append(placeholder)
    assert found(f"{top}.leaf") == (str(leaf),)


def test_a_broken_finder_and_strange_paths_are_no_exception(site: Any) -> None:
    """Python's own import fails at such a finder; listing names it."""

    class Broken:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> None:
            raise RuntimeError("broken")

        @staticmethod
        def find_distributions(context: Any = None) -> Any:
            raise RuntimeError("broken")

    top = site.name("plain")
    site.package(top)
    sys.path[:0] = [7, str(site.folder / "missing")]  # type: ignore[list-item]  # on purpose
    assert found(top) == (str(site.folder / top),)
    healthy = site.healthy()
    sys.meta_path.append(Broken)  # type: ignore[arg-type]  # strange on purpose
    registry = site.registry()
    assert healthy in {entry.id for entry in registry.list()}
    assert [p.message for p in registry.problems] == ["RuntimeError: broken"]
    sys.meta_path.insert(0, Broken)  # type: ignore[arg-type]  # as above
    with pytest.raises(LocationError, match="broken"):
        found(f"{top}x")
    registry.refresh()
    assert healthy not in {entry.id for entry in registry.list()}
    assert any(healthy.partition(">")[0] in p.distribution for p in registry.problems)


def test_a_module_or_nothing_is_refused(site: Any, tools: Any) -> None:
    name = site.name("single")
    tools.write(site.folder / f"{name}.py", "")
    with pytest.raises(LocationError, match="not a package"):
        found(name)
    with pytest.raises(LocationError, match=f"'{name}x' cannot be found"):
        found(f"{name}x.y")
    with pytest.raises(LocationError, match="cannot be found"):
        package_folders(f"{name}.inner", [str(site.folder)])
    with pytest.raises(LocationError, match="cannot be found"):
        package_folders("anything", [])


def test_a_made_module_without_a_specification_is_refused(site: Any, monkeypatch: Any) -> None:
    name = site.name("present")
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    with pytest.raises(LocationError, match="__spec__"):
        package_folders(name)


def test_the_finders_agree_with_an_import(site: Any) -> None:
    assert PathFinder in sys.meta_path
    assert package_folders("json") == tuple(importlib.import_module("json").__path__)
    assert package_folders("dl_techniques.core") == tuple(
        importlib.import_module("dl_techniques.core").__path__
    )


def test_reading_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"1234")
    assert read_limited(file, 4) == b"1234"
    with pytest.raises(OSError, match="4 bytes; at most 3"):
        read_limited(file, 3)
    with pytest.raises(OSError, match="not a regular file"):
        read_limited(tmp_path, 3)
    with pytest.raises(OSError, match="not a regular file"):
        read_limited(Path("/dev/zero"), 3)
    with pytest.raises(FileNotFoundError):
        read_limited(tmp_path / "missing", 3)
