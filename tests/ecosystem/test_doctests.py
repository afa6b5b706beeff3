"""The examples in the docstrings of all components run, on every backend."""

from __future__ import annotations

import doctest
import importlib
import sys

import pytest

from dl_techniques.core import registry

OURS = ("dlt-layers", "dlt-losses", "dlt-weightwatcher")
COMPONENTS = [entry for entry in registry.list() if entry.distribution in OURS]


def test_there_are_components():
    assert len(COMPONENTS) > 50


@pytest.mark.parametrize("entry", COMPONENTS, ids=lambda entry: entry.id)
def test_the_example_runs(entry):
    module, _, name = entry.object.partition(":")
    target = getattr(importlib.import_module(module), name)
    tests = doctest.DocTestFinder(recurse=False).find(target, name, sys.modules[module], globs={})
    runner = doctest.DocTestRunner()
    report: list[str] = []
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.tries, f"{entry.id} has no example that runs"
    assert not runner.failures, "".join(report)
