"""Analyzers are declared without Keras, and Keras knows them once it is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from dl_techniques.weightwatcher import WeightWatcher, analyze_model
from dl_techniques.core.contract.component import declaration_of
assert "keras" not in sys.modules
assert declaration_of(analyze_model).id == "dl_techniques>analyze_model"
from dl_techniques.core import registry
for target in (WeightWatcher, analyze_model):
    name = declaration_of(target).id
    assert registry.load(name) is target
    import keras
    assert keras.saving.get_registered_name(target) == name
    assert keras.saving.get_registered_object(name) is target
"""


def test_declared_before_keras_and_known_to_it_afterwards():
    pytest.importorskip("keras")
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
