"""Files travel: between backends, into processes that imported nothing, from Keras 3.8."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

for name in ("layers", "losses"):
    pytest.importorskip(f"dl_techniques.{name}")

SCRIPT = Path(__file__).parent / "exchange.py"
ARCHIVE = Path(__file__).parent / "archive"
BACKENDS = [name for name in ("jax", "torch", "tensorflow") if importlib.util.find_spec(name)]


def run(backend: str, *arguments: object) -> str:
    environment = {**os.environ, "KERAS_BACKEND": backend}
    child = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The model, saved on the backend under test in a process of its own."""
    folder = tmp_path_factory.mktemp("exchange")
    run(keras.backend.backend(), "save", folder / "model.keras", folder / "arrays.npz")
    return folder / "model.keras", folder / "arrays.npz"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_of_this_backend_loads_on_every_backend(saved, backend):
    answer = run(backend, "load", *saved)
    difference = float(answer.rpartition("DIFFERENCE")[2])
    assert difference <= 1e-5


@pytest.mark.parametrize("path", sorted(ARCHIVE.glob("*.keras")), ids=lambda path: path.stem)
def test_files_of_earlier_versions_keep_loading(path):
    from dl_techniques.core import load_model

    arrays = np.load(path.with_suffix(".npz"))
    outputs = load_model(path).predict(arrays["x"], verbose=0)
    np.testing.assert_allclose(outputs, arrays["y"], atol=1e-5)


def test_the_archive_holds_a_file_of_the_least_keras():
    assert any("keras-3.8.0" in path.name for path in ARCHIVE.glob("*.keras"))
