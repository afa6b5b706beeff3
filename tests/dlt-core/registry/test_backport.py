"""Beside the backport of `importlib.metadata`, which changes the interpreter's own finders."""

from __future__ import annotations

from importlib.machinery import PathFinder
from typing import Any


def test_finders_without_their_method_change_nothing(site: Any, monkeypatch: Any) -> None:
    """`importlib_metadata` deletes it when it is imported, as dask does before Python 3.12."""
    healthy = site.healthy()
    monkeypatch.delattr(PathFinder, "find_distributions")
    registry = site.registry()
    assert healthy in {entry.id for entry in registry.list()}
    assert registry.problems == ()
