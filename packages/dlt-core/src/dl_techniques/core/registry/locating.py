"""Finding the folder of a package without importing it or its parents.

`importlib.util.find_spec("acme.dl.layers")` imports `acme` and `acme.dl`. Here the same finders
are asked part by part instead, so that no code of the package runs.
"""

from __future__ import annotations

import pkgutil
import stat
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any


class LocationError(LookupError):
    """There is no such package, or it is not one that can hold data files."""


def package_folders(package: str, path: Sequence[str] | None = None) -> tuple[str, ...]:
    """The folders of an installed package; several only for a namespace package.

    Args:
        package: Its dotted name.
        path: Folders to search instead of all that an import would search.

    Raises:
        LocationError: If it cannot be found, or is a module without a folder.
    """
    locations: Sequence[str] | None = path
    name = ""
    for part in package.split("."):
        name = f"{name}.{part}" if name else part
        if path is not None:
            found = _on_path(name, locations or ())
        else:
            found = _imported(name) or _findable(name, locations)
        if found is None:
            raise LocationError(f"the package {name!r} cannot be found")
        if not found:
            raise LocationError(f"{name!r} is a module, not a package")
        locations = found
    return tuple(locations or ())


def read_limited(file: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        OSError: If it cannot be read: missing, a loop of links, no regular file, too large.
    """
    # Opening a pipe would wait for ever, and reading a device might never end.
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{file} is not a regular file")
    if status.st_size > limit:
        raise OSError(f"{file} has {status.st_size} bytes; at most {limit} are read")
    with file.open("rb") as stream:
        return stream.read(limit)


def _imported(name: str) -> list[str] | None:
    # An imported package's own path is what the import of its children goes by.
    folders = getattr(sys.modules.get(name), "__path__", None)
    return list(folders) if folders is not None else None


def _findable(name: str, locations: Sequence[str] | None) -> list[str] | None:
    for finder in list(sys.meta_path):
        if finder is PathFinder:
            # Not asked itself: for a namespace package it looks up the parent in `sys.modules`.
            found = _on_path(name, sys.path if locations is None else locations)
        else:
            found = _folders(_ask(finder, name, locations))
        if found is not None:
            return found
    return None


def _ask(finder: Any, name: str, *arguments: Any) -> ModuleSpec | None:
    try:
        spec: ModuleSpec | None = finder.find_spec(name, *arguments)
    except Exception:  # a broken finder answers for nothing; the next is asked
        return None
    return spec


def _on_path(name: str, locations: Sequence[str]) -> list[str] | None:
    portions: list[str] = []
    for location in locations:
        spec = _ask(_importer(location), name)
        if spec is None:
            continue
        if spec.loader is not None:
            return _folders(spec)
        # Without a loader it is one portion of a namespace package; the others may follow.
        portions.extend(spec.submodule_search_locations or ())
    return portions or None


def _importer(location: object) -> Any:
    # `sys.path` may hold anything, and its hooks are foreign code, too.
    try:
        return pkgutil.get_importer(location) if isinstance(location, str) else None
    except Exception:  # a location that nothing can read holds no package
        return None


def _folders(spec: ModuleSpec | None) -> list[str] | None:
    """`None` for no answer, an empty list for a module without a folder."""
    return None if spec is None else list(spec.submodule_search_locations or ())
