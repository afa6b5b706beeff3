"""Files travel: between backends, into processes that imported nothing, from Keras 3.8."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from exchange import SAMPLE
from golden_files import STORED

from dl_techniques.core import load_model, registry

for name in ("layers", "losses"):
    pytest.importorskip(f"dl_techniques.{name}")

SCRIPT = Path(__file__).parent / "exchange.py"
ARCHIVE = Path(__file__).parent / "archive"
BACKENDS = [name for name in ("jax", "torch", "tensorflow") if importlib.util.find_spec(name)]


Environment = Callable[[str], dict[str, str]]

# One worker saves, and lets every backend read.
pytestmark = pytest.mark.xdist_group("exchange")


def run(environment: dict[str, str], *arguments: object) -> dict[str, Any]:
    child = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    answer: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    assert answer["failures"] == {}
    return answer


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, child_environment: Environment) -> Path:
    """The files that the backend under test saved in a process of its own."""
    folder = tmp_path_factory.mktemp("exchange")
    answer = run(child_environment(keras.backend.backend()), "save", folder)
    assert answer["skipped"] == {}
    assert answer["components"] == len(SAMPLE)
    return folder


@pytest.mark.parametrize("backend", BACKENDS)
def test_files_of_this_backend_load_on_every_backend(
    saved: Path, backend: str, child_environment: Environment
) -> None:
    answer = run(child_environment(backend), "load", saved)
    assert answer["difference"] <= 1e-5
    (writer,) = answer["writers"].values()
    print(f"\n{answer['reader']}: {writer}")
    assert writer["agree"] == len([*saved.glob("golden/*.keras")])


def test_the_sample_holds_every_kind_that_is_stored() -> None:
    assert {registry.find(name).kind for name in SAMPLE} == set(STORED)


@pytest.mark.parametrize("path", sorted(ARCHIVE.glob("*.keras")), ids=lambda path: path.stem)
def test_files_of_earlier_versions_keep_loading(path: Path) -> None:
    arrays = np.load(path.with_suffix(".npz"))
    outputs = load_model(path).predict(arrays["x"], verbose=0)
    np.testing.assert_allclose(outputs, arrays["y"], atol=1e-5)


def test_the_archive_holds_a_file_of_the_least_keras() -> None:
    assert any("keras-3.8.0" in path.name for path in ARCHIVE.glob("*.keras"))
