"""The modules of the distribution import each other in one direction only."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import dl_techniques.weightwatcher as package

PREFIX = "dl_techniques.weightwatcher"


def imports():
    """Module -> the modules of the distribution that it names anywhere, in functions too."""
    root = Path(package.__file__).parent
    found = {}
    for file in root.rglob("*.py"):
        name = ".".join((PREFIX, *file.relative_to(root).with_suffix("").parts))
        name = name.removesuffix(".__init__")
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        froms = [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
        found[name] = {m for m in froms if m.startswith(f"{PREFIX}.")}
    return found


def test_no_module_imports_one_that_needs_it():
    order = list(graphlib.TopologicalSorter(imports()).static_order())
    assert order.index(f"{PREFIX}.result") < order.index(f"{PREFIX}.store")


def test_readers_know_nothing_of_the_analysis():
    allowed = (f"{PREFIX}.readers", f"{PREFIX}.joins")
    for module, needed in imports().items():
        if module.startswith(f"{PREFIX}.readers"):
            assert all(name.startswith(allowed) for name in needed), module
        if module.startswith(f"{PREFIX}.joins"):
            assert all(name.startswith(allowed) for name in needed), module
