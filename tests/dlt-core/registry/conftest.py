"""Real distributions, generated in a temporary folder that is on the import path."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dl_techniques.core.registry.registry import Registry

_serial = itertools.count()

FUNCTION = '''"""Made by a test."""
from dl_techniques.core import component


@component({id!r}, kind={kind!r}, aliases={aliases!r}, unsafe={unsafe!r})
def {name}(x):
    """Return what it is given."""
    return x
'''


def record(id: str, object: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "kind": "function", "object": object, "summary": "A test's part.", **more}


class Site:
    """A folder of installed distributions; `name()` makes names that no other test uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # No module of anybody else has it in its name, as `_sha512` has "12".
        self.serial = f"x{next(_serial)}x"
        folder.mkdir(parents=True, exist_ok=True)

    def name(self, stem: str) -> str:
        return f"{stem}{self.serial}"

    def metadata(
        self,
        distribution: str,
        version: str = "1.0",
        *,
        entry_points: str | bytes = "",
        text: str | bytes | None = "",
        suffix: str = ".dist-info",
    ) -> Path:
        folder = self.folder / f"{distribution.replace('-', '_')}-{version}{suffix}"
        folder.mkdir(parents=True)
        write(folder / "entry_points.txt", entry_points)
        if text == "":
            text = f"Metadata-Version: 2.4\nName: {distribution}\nVersion: {version}\n\nA README."
        if text is not None:
            write(folder / ("METADATA" if suffix == ".dist-info" else "PKG-INFO"), text)
        return folder

    def package(self, package: str, modules: Mapping[str, str] | None = None) -> Path:
        folder = self.folder.joinpath(*package.split("."))
        folder.mkdir(parents=True, exist_ok=True)
        # Discovery must not run it; loading a component of the package does.
        write(folder / "__init__.py", f"import os\nos.environ['IMPORTED_{package}'] = 'yes'\n")
        for module, source in (modules or {}).items():
            write(folder / f"{module}.py", source)
        return folder

    def manifest(self, package: str, /, components: Sequence[Any], **more: Any) -> Path:
        document = {
            "schema": 1,
            "contract": 1,
            "namespace": package.partition(".")[0],
            "package": package,
            "components": list(components),
            **more,
        }
        return write(
            self.folder.joinpath(*package.split("."), "components.json"), json.dumps(document)
        )

    def healthy(
        self, stem: str = "healthy", component: str = "Gate", version: str = "1.0", **more: Any
    ) -> str:
        """A distribution that works; returns the identifier of its one component."""
        package = self.name(stem)
        identifier = more.pop("id", f"{package}>{component}")
        module = component.lower()
        self.package(package, {module: function(identifier, component, **more)})
        self.manifest(
            package,
            [record(identifier, f"{package}.{module}:{component}", **more)],
            namespace=identifier.partition(">")[0],
        )
        self.metadata(package, version, entry_points=components_group(package))
        return str(identifier)

    def registry(self) -> Registry:
        importlib.invalidate_caches()
        return Registry()

    def python(self, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program in a fresh interpreter that sees this folder."""
        return subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(self.folder), **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def components_group(package: str, name: str = "parts") -> str:
    return f"[dl_techniques.components]\n{name} = {package}:components.json\n"


def function(
    id: str,
    name: str,
    *,
    kind: str = "function",
    aliases: Sequence[str] = (),
    unsafe: bool = False,
    **_: Any,
) -> str:
    return FUNCTION.format(id=id, name=name, kind=kind, aliases=tuple(aliases), unsafe=unsafe)


def write(file: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    file.write_bytes(data)
    return file


class Broken:
    """A distribution named `broken<serial>` in the making, with one good component to start."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.package = site.name("broken")
        self.id = f"{self.package}>Part"
        self.record = record(self.id, f"{self.package}.part:Part")
        self.folder = site.package(self.package, {"part": function(self.id, "Part")})
        self.manifest = site.manifest(self.package, [self.record])

    def install(self, **more: Any) -> Path:
        more.setdefault("entry_points", components_group(self.package))
        return Path(self.site.metadata(self.package, **more))

    def declare(self, **changes: Any) -> None:
        """Change the one record."""
        self.site.manifest(self.package, [{**self.record, **changes}])

    def write(self, content: str | bytes) -> None:
        write(self.manifest, content)

    @staticmethod
    def group(package: str) -> str:
        return components_group(package)

    @staticmethod
    def inflate(file: Path) -> None:
        """Make a file of 64 MiB that takes no room on the disk."""
        file.unlink(missing_ok=True)
        with file.open("wb") as stream:
            stream.truncate(64 * 1024 * 1024)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    before = set(sys.modules)
    made = Site(tmp_path / "site")
    monkeypatch.syspath_prepend(str(made.folder))
    environment = dict(os.environ)
    yield made
    for name in set(sys.modules) - before:
        if made.serial in name:
            del sys.modules[name]
    for name in set(os.environ) - set(environment):
        del os.environ[name]


@pytest.fixture
def tools() -> Any:
    """The helper functions of this file, which tests cannot import."""
    return sys.modules[__name__]
