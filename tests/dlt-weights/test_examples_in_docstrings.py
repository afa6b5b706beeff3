"""Oracle: the output that each docstring states."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "catalog",
    "licence",
    "preprocess",
    "preprocessing_model",
    "resampling",
    "readers.opening",
    "rules.layout",
    "rules.load",
)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(f"dl_techniques.weights.{name}")
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
