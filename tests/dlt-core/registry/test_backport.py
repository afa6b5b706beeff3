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


def test_what_two_finders_find_is_told_once(site: Any, tools: Any, monkeypatch: Any) -> None:
    """The backport brings a finder of its own for the same folders."""
    broken = tools.Broken(site)
    broken.install()
    group = tools.components_group(broken.package)
    site.metadata(broken.package, "2.0", entry_points=group)
    before = site.registry().problems
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, MetadataPathFinder()])
    assert [p.distribution for p in before] == [broken.package]
    assert site.registry().problems == before
