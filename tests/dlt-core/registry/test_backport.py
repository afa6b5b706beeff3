"""Beside the backport of `importlib.metadata`, which changes the interpreter's own finders."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.metadata import MetadataPathFinder
from typing import Any


def test_finders_without_their_method_change_nothing(site: Any, monkeypatch: Any) -> None:
    """`importlib_metadata` deletes it when it is imported, as dask does before Python 3.12."""
    healthy = site.healthy()
    monkeypatch.delattr(PathFinder, "find_distributions", raising=False)
    registry = site.registry()
    assert healthy in {entry.id for entry in registry.list()}
    assert registry.problems == ()


def test_a_second_finder_of_the_same_folders_changes_nothing(site: Any, monkeypatch: Any) -> None:
    healthy = site.healthy()
    before = [entry.id for entry in site.registry().list()]
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, MetadataPathFinder()])
    registry = site.registry()
    assert [entry.id for entry in registry.list()] == before
    assert healthy in before
    assert registry.problems == ()
