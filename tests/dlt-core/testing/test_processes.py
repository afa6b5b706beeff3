"""Mutants of the checks that start other processes, and controls that those checks let pass.

They are installed like a plugin, because another process must find them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dl_techniques.core import registry
from dl_techniques.core.testing import check_component
from dl_techniques.core.testing import fresh_process as fresh

MODULE = '''
import os, sys, time

{first}

from dl_techniques.core import Example, Layer, TensorSpec, component


@component("{package}>Part", kind="layer")
class Part(Layer):
    """A layer: y = f x."""

    def call(self, inputs):
        return {value}

    def compute_output_shape(self, input_shape):
        return input_shape

    @classmethod
    def examples(cls):
        yield Example(cls, {{}}, TensorSpec((2, 3)))
'''

# Variables of the tests' interpreter that a fresh one lacks.
NEEDS_TESTS = 'assert "pytest" in sys.modules, "it needs what only its author had imported"'
BUSY = """
end = time.process_time() + 0.4
while time.process_time() < end:
    pass
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Install a distribution with one layer, for this process and for those that it starts."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    # The one that serves the session began without the plugin.
    monkeypatch.setattr(fresh, "_child", None)
    packages = []

    def install(name: str, *, first: str = "", value: str = "inputs") -> str:
        package = f"mutant_{name}"
        packages.append(package)
        home, metadata = tmp_path / package, tmp_path / f"{package}-1.0.dist-info"
        home.mkdir()
        metadata.mkdir()
        text = MODULE.format(package=package, first=first, value=value)
        home.joinpath("__init__.py").write_text("")
        home.joinpath("parts.py").write_text(text)
        record = {
            "id": f"{package}>Part",
            "kind": "layer",
            "object": f"{package}.parts:Part",
            "summary": "A layer.",
        }
        manifest = {"schema": 1, "contract": 1, "namespace": package, "package": package}
        document = json.dumps({**manifest, "components": [record]})
        home.joinpath("components.json").write_text(document)
        head = f"Metadata-Version: 2.4\nName: {package}\nVersion: 1.0\n"
        metadata.joinpath("METADATA").write_text(head)
        points = f"[dl_techniques.components]\nparts = {package}:components.json\n"
        metadata.joinpath("entry_points.txt").write_text(points)
        importlib.invalidate_caches()
        registry.refresh()
        return f"{package}>Part"

    yield install
    if fresh._child is not None:
        fresh._child.kill()
        fresh._child.communicate()
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
    registry.refresh()


def outcome(component: str, check: str) -> tuple[str, str]:
    (result,) = check_component(component, only=[check])
    return result.status, result.message


def test_a_fresh_process_is_not_fooled(installed: Any) -> None:
    sound = installed("sound")
    lonely = installed("lonely", first=NEEDS_TESTS)
    other = installed("other", value=f"inputs * float(os.getpid() == {os.getpid()})")
    status, message = outcome(lonely, "fresh_process")
    assert status == "failed"
    assert "a fresh process cannot load it" in message
    assert "only its author had imported" in message
    status, message = outcome(other, "fresh_process")
    assert status == "failed"
    assert "in a fresh process" in message
    # The same child still serves a sound one.
    assert outcome(sound, "fresh_process") == ("passed", "")


def test_the_cost_of_an_import_is_measured(installed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        installed("quick"),
        installed("busy", first=BUSY),
        installed("alone", first=NEEDS_TESTS),
    ]
    monkeypatch.delenv("DL_TECHNIQUES_IMPORT_COST", raising=False)
    assert outcome(names[1], "import_cost")[0] == "not_applicable"
    monkeypatch.setenv("DL_TECHNIQUES_IMPORT_COST", "1")
    quick, busy, alone = (outcome(name, "import_cost") for name in names)
    assert quick == ("passed", "")
    assert busy[0] == "failed"
    assert "importing its module takes 0." in busy[1]
    assert alone[0] == "failed"
    assert "importing it alone fails" in alone[1]
