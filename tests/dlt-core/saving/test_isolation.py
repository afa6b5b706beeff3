"""A model is rebuilt in a child process first: what that costs, or breaks, is the child's."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import crashing
import keras
import numpy as np
import pytest
from model_forge import Forge, dense, keras_object, sequential

from dl_techniques.core import load_model
from dl_techniques.core.cli import main
from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.isolation import Trial, resident, try_loading
from dl_techniques.core.files.limits import LIMITS
from dl_techniques.core.files.options import Options

MIB = 1 << 20
linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")


def custom(name: str, tmp_path: Path, **config: Any) -> Path:
    """A file with one layer of `crashing.py`."""
    shape = {"build_config": {"input_shape": [None, 4]}}
    node = keras_object("crashing", name, {"name": name.lower(), **config}, **shape)
    made = sequential({**node, "registered_name": name}, dense())
    return Forge(made).write(tmp_path / "model.keras")


def attempt(name: str, tmp_path: Path, limits: Any = LIMITS, **config: Any) -> Trial:
    path = custom(name, tmp_path, **config)
    return try_loading(path, Options(custom_objects={name: getattr(crashing, name)}, limits=limits))


def test_a_sound_model_loads_after_its_trial(tmp_path: Path) -> None:
    path = Forge().write(tmp_path / "model.keras")
    model = load_model(path, isolated=True)
    expected = load_model(path)
    for ours, theirs in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (ours, theirs)))


def test_an_importable_object_is_imported_by_the_child(tmp_path: Path) -> None:
    path = custom("Twice", tmp_path)
    given = {"Twice": crashing.Twice}
    model = load_model(path, custom_objects=given, isolated=True)
    assert type(model.layers[0]) is crashing.Twice


def test_an_object_without_an_address_is_the_callers_error(tmp_path: Path) -> None:
    class Local(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
        pass

    path = Forge().write(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="importable by name"):
        load_model(path, custom_objects={"Local": Local}, isolated=True)


def test_a_refusal_of_the_child_is_a_refusal(tmp_path: Path) -> None:
    path = Forge(sequential({"class_name": "Evil", "config": {}})).write(tmp_path / "model.keras")
    with pytest.raises(ModelFileError, match=r"(?s)isolation \(refused\).*Evil") as caught:
        load_model(path, isolated=True)
    assert caught.value.path == str(path)
    assert caught.value.hint


def test_a_crash_of_the_child_is_a_refusal(tmp_path: Path) -> None:
    trial = attempt("Aborting", tmp_path)
    assert (trial.outcome, trial.loaded) == ("crashed", False)
    assert "code -6" in trial.message
    path, given = tmp_path / "model.keras", {"Aborting": crashing.Aborting}
    with pytest.raises(ModelFileError, match=r"isolation \(crashed\)"):
        load_model(path, custom_objects=given, isolated=True)


@linux
def test_memory_beyond_the_limit_ends_the_child(tmp_path: Path) -> None:
    before = resident(os.getpid())
    trial = attempt("Hungry", tmp_path, LIMITS._replace(memory=600 * MIB), mebibytes=1000)
    assert trial.outcome == "memory", trial
    assert trial.memory > 600 * MIB
    assert resident(os.getpid()) - before < 64 * MIB


@linux
def test_memory_within_the_limit_is_reported(tmp_path: Path) -> None:
    trial = attempt("Hungry", tmp_path, LIMITS._replace(memory=1500 * MIB), mebibytes=500)
    assert trial.loaded, trial
    assert trial.memory > 400 * MIB


def test_time_beyond_the_limit_ends_the_child(tmp_path: Path) -> None:
    start = time.monotonic()
    trial = attempt("Endless", tmp_path, LIMITS._replace(seconds=4.0))
    assert trial.outcome == "time", trial
    assert 4 <= trial.seconds <= time.monotonic() - start


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    folder = tmp_path / "temporary"
    folder.mkdir()
    path = custom("Endless", tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    given = {"Endless": crashing.Endless}
    with pytest.raises(ModelFileError, match=r"\(time\)"):
        load_model(path, custom_objects=given, isolated=True, limits=LIMITS._replace(seconds=3.0))
    assert [*folder.iterdir()] == []


# The command.


def test_inspect_rebuilds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Forge().write(tmp_path / "model.keras")
    assert main(["inspect", str(path), "--rebuild"]) == 0
    out = capsys.readouterr().out
    assert "Rebuilt in a child process: loaded" in out


def test_inspect_says_why_it_cannot_be_rebuilt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    path = Forge(sequential(dense(inputs=9))).write(tmp_path / "model.keras")
    assert main(["inspect", str(path)]) == 0
    capsys.readouterr()
    assert main(["inspect", str(path), "--rebuild", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["rebuild"]["outcome"] == "refused"
    assert "cannot rebuild" in answer["rebuild"]["message"]


def test_inspect_does_not_rebuild_refused_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Forge(weights=b"none").write(tmp_path / "model.keras")
    assert main(["inspect", str(path), "--rebuild"]) == 1
    assert "Rebuilt" not in capsys.readouterr().out
