"""Installed distributions of strangers, made in a temporary folder on the import path."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dl_techniques.core import registry


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages: list[str] = []

    def install(
        self,
        package: str,
        *,
        components: Sequence[dict[str, Any]] | None = None,
        plugin: str | None = None,
        **modules: str,
    ) -> Path:
        """A distribution of the package's name; `plugin` is the source of its plugin module."""
        folder = self.folder / package
        folder.mkdir(parents=True)
        self.packages.append(package)
        metadata = self.folder / f"{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {package}\nVersion: 1.0\n"
        )
        points = ""
        if components is not None:
            points += f"[dl_techniques.components]\n{package} = {package}:components.json\n"
            document = {
                "schema": 1,
                "contract": 1,
                "namespace": package,
                "package": package,
                "components": components,
            }
            (folder / "components.json").write_text(json.dumps(document))
        if plugin is not None:
            points += f"[dl_techniques.plugins]\n{package} = {package}.plugin\n"
            modules["plugin"] = plugin
        (metadata / "entry_points.txt").write_text(points)
        for module, source in {"__init__": "", **modules}.items():
            (folder / f"{module}.py").write_text(source)
        return folder


def function(package: str, name: str, source: str = "") -> tuple[dict[str, Any], str]:
    """A component's record, and the source of its module of the same name."""
    record = {
        "id": f"{package}>{name}",
        "kind": "function",
        "object": f"{package}.{name}_module:{name}",
        "summary": "A stranger's.",
    }
    code = (
        f"from dl_techniques.core import component\n\n{source}\n\n"
        f'@component("{package}>{name}", kind="function")\ndef {name}(x, y=1):\n'
        '    """A stranger\'s."""\n    return x\n'
    )
    return record, code


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path / "site")
    made.folder.mkdir()
    monkeypatch.syspath_prepend(str(made.folder))
    # The kit loads models in interpreters of its own.
    monkeypatch.setenv("PYTHONPATH", str(made.folder), prepend=os.pathsep)
    registry.refresh()
    yield made
    registry.refresh()
    for name in [name for name in sys.modules if name.partition(".")[0] in made.packages]:
        del sys.modules[name]


@pytest.fixture
def stranger() -> Any:
    """`function`, which tests cannot import from here."""
    return function
