"""Fixtures of the tests of weights: a site of fake distributions, and no network."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def private_places(tmp_path, monkeypatch):
    """No test sees the user's cache, mirror or consent."""
    for name in ("DL_TECHNIQUES_OFFLINE", "HF_HUB_OFFLINE", "DL_TECHNIQUES_WEIGHTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("DL_TECHNIQUES_ACCEPT_LICENCES", raising=False)
    monkeypatch.setenv("DL_TECHNIQUES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)


@pytest.fixture
def no_sockets(monkeypatch):
    """Any socket is a failure."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def row():
    """A valid row of a listing, with changes."""

    def make(**changes: Any) -> dict[str, Any]:
        base = {
            "component": "acme>Net",
            "variant": "tiny",
            "tag": "base",
            "aliases": ["imagenet"],
            "sources": [
                {"kind": "hf", "repo": "acme/net", "file": "net.safetensors", "revision": "a" * 40}
            ],
            "size": 5,
            "sha256": hashlib.sha256(b"hello").hexdigest(),
            "licence": "apache-2.0",
            "layout": "torch",
        }
        return base | changes

    return make


@pytest.fixture
def entry(row):
    """The entry that a row makes."""
    from dl_techniques.weights.rows import parse_rows

    def make(**changes: Any) -> Any:
        rows = parse_rows(
            json.dumps({"schema": 1, "weights": [row(**changes)]}).encode(), package="a"
        )
        assert not rows.faults, rows.faults
        return rows.weights[0]

    return make


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a fake distribution with a listing; its package cannot be imported."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def make(
        name: str,
        rows: list[dict[str, Any]] | str,
        layouts: list[dict[str, Any]] | None = None,
        components: list[dict[str, Any]] | None = None,
        code: str = "raise AssertionError('imported')",
        namespace: str = "acme",
    ) -> Path:
        package = name.replace("-", "_")
        folder = site / package
        folder.mkdir()
        (folder / "__init__.py").write_text(code)
        manifest = {
            "schema": 1,
            "contract": 1,
            "namespace": namespace,
            "package": package,
            "components": components or [],
        }
        (folder / "components.json").write_text(json.dumps(manifest))
        listing = {"schema": 1, "weights": rows, "layouts": layouts or []}
        text = rows if isinstance(rows, str) else json.dumps(listing)
        (folder / "weights.json").write_text(text)
        info = site / f"{package}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(
            f"[dl_techniques.components]\n{package} = {package}:components.json\n"
        )
        from dl_techniques.core import registry

        registry.refresh()
        return folder

    yield make
    from dl_techniques.core import registry

    monkeypatch.undo()
    registry.refresh()
    for module in [m for m in sys.modules if m.partition(".")[0].startswith("acme")]:
        del sys.modules[module]
