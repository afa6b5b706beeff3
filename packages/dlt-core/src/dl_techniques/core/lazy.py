"""Lazy exports of a package of components: a name imports one module, on first use."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

MANIFEST = "components.json"


def exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Module functions that serve the components of `package` by name, without importing them.

    The names come from the generated `components.json` of the package or of the nearest parent
    that has one: all components whose module lies inside `package`, and their aliases.

    Args:
        package: `__name__` of the package.

    Returns:
        `__getattr__`, `__dir__` and `__all__`, for the package to take as its own.

    Example:
        A package's whole `__init__.py`:

        ```python
        from dl_techniques.core.lazy import exports
        __getattr__, __dir__, __all__ = exports(__name__)
        ```
    """
    return serve(package, _addresses(package), forgotten=_declared)


def serve(
    package: str,
    addresses: Mapping[str, str],
    forgotten: Callable[[str, str], Path | None] = lambda *_: None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Module functions that serve a table of names, each imported on first use.

    Args:
        package: `__name__` of the package.
        addresses: Name -> `module:Name` of the object that it stands for.
        forgotten: Called with the package and a name that is not in the table; returns the file
            that declares it nevertheless.

    Returns:
        `__getattr__`, `__dir__` and `__all__`, for the package to take as its own.
    """
    names = sorted(addresses)
    # An object and a module may have one name, which an import of the module would take.
    sys.modules[package].__class__ = _Package

    def __getattr__(name: str) -> Any:  # noqa: N807  # the module's own, by PEP 562
        if name not in addresses:
            file = forgotten(package, name)
            if file is not None:
                raise ImportError(
                    f"{file} declares {name}, which {MANIFEST} lacks. "
                    "Run: dl-techniques manifest write",
                    name=package,
                    path=str(file),
                )
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = import_address(addresses[name])
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:  # noqa: N807  # the module's own, by PEP 562
        return sorted({*vars(sys.modules[package]), *names})

    return __getattr__, __dir__, names


def import_address(address: str) -> Any:
    """Import the object that an address names.

    Args:
        address: `module`, `module:Name` or `module:Outer.Inner`.

    Raises:
        ImportError: If the module or the object does not exist: the address is out of date.
    """
    module, _, qualname = address.partition(":")
    try:
        target: Any = importlib.import_module(module)
        for name in qualname.split(".") if qualname else ():
            target = getattr(target, name)
    except (ModuleNotFoundError, AttributeError) as error:
        missing = error.name or ""
        absent = (
            f"{module}.".startswith(f"{missing}.")
            if isinstance(error, ModuleNotFoundError)
            else missing in qualname.split(".") and error.obj is sys.modules.get(module)
        )
        if not (missing and absent):
            raise  # the module's own code fails
        raise ImportError(
            f"{address} does not exist. If it was renamed or moved, run: "
            "dl-techniques manifest write",
            name=module,
        ) from error
    return target


class _Package(ModuleType):
    """A package whose exported names stay with the components."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in vars(self).get("__all__", ())):
            super().__setattr__(name, value)


def _declared(package: str, name: str) -> Path | None:
    """Return the file of a package that declares a component of this name, if any does."""
    folder = Path(str(sys.modules[package].__file__)).parent
    is_module = (folder / name).is_dir() or (folder / f"{name}.py").is_file()
    if is_module or name.startswith("_"):
        return None
    pattern = re.compile(
        r"^@(?:\w+\.)*component\([^@]*?\)\s*^(?:class|def)\s+" + re.escape(name) + r"\b", re.M
    )
    files = sorted(folder.rglob("*.py"))
    return next((f for f in files if pattern.search(f.read_text("utf-8", "replace"))), None)


def _addresses(package: str) -> dict[str, str]:
    """Name of the object, of its identifier or of an alias -> `module:Name`."""
    folder = Path(str(sys.modules[package].__file__)).parent
    for _ in package.split("."):
        if (folder / MANIFEST).is_file():
            break
        folder = folder.parent
    else:
        # A package under construction has no manifest yet, and must still be importable.
        return {}
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    addresses: dict[str, str] = {}
    for record in manifest["components"]:
        address: str = record["object"]
        if address.startswith(f"{package}."):
            addresses[address.partition(":")[2]] = address
            for identifier in (record["id"], *record.get("aliases", ())):
                addresses.setdefault(identifier.partition(">")[2], address)
    return addresses
