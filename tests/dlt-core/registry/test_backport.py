"""Beside the backport of `importlib.metadata`, which changes the interpreter's own finders."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.metadata import MetadataPathFinder
from typing import Any


def test_a_replaced_finder_changes_nothing(site: Any, monkeypatch: Any) -> None:
    """`importlib_metadata` deletes the method of Python's finder and adds a finder of its own."""
    healthy = site.healthy()
    monkeypatch.delattr(PathFinder, "find_distributions", raising=False)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, MetadataPathFinder()])
    registry = site.registry()
    assert healthy in {entry.id for entry in registry.list()}
    assert registry.problems == ()


def test_two_finders_of_one_folder_report_once(site: Any, tools: Any, monkeypatch: Any) -> None:
    """The backport brings a finder of its own for the same folders."""
    broken = tools.Broken(site)
    broken.install()
    group = tools.components_group(broken.package)
    site.metadata(broken.package, "2.0", entry_points=group)
    before = site.registry().problems
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, MetadataPathFinder()])
    assert [p.distribution for p in before] == [broken.package]
    assert site.registry().problems == before
