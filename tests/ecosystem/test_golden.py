"""Components of every kind give on another backend what they gave where they were saved.

A sample, in one process a backend; `nox -s exchange` does the same for every component, and
`nox -s skew` for versions of Keras.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dl_techniques.core import Example, TensorSpec, inspect_model, registry
from dl_techniques.core.testing import NotApplicable, export_golden, verify_golden

for name in ("layers", "losses"):
    pytest.importorskip(f"dl_techniques.{name}")

SCRIPT = Path(__file__).with_name("golden_files.py")
DISTRIBUTIONS = ("dlt-layers", "dlt-losses")
OTHERS = [
    name
    for name in ("jax", "torch", "tensorflow")
    if importlib.util.find_spec(name) and name != keras.backend.backend()
]
# What XLA compiles here runs once.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
# One of each kind, none for which JAX compiles long.
SAMPLE = (
    "AdaptiveSoftmax",
    "CLIPAccuracy",
    "F1Loss",
    "LayerScale",
    "OrthonormalInitializer",
    "SoftOrthonormal",
    "SwiGLUFFN",
    "ValueRangeConstraint",
)
STORED = ("activation", "constraint", "initializer", "layer", "loss", "metric", "regularizer")


def run(backend: str, command: str, *arguments: object) -> dict[str, Any]:
    child = subprocess.run(
        [sys.executable, str(SCRIPT), command, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": QUICK},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.stdout, child.stderr
    answer: dict[str, Any] = json.loads(child.stdout)
    assert answer["failures"] == {}
    return answer


def entries(*kinds: str) -> list[Any]:
    return [
        entry
        for entry in registry.list()
        if entry.distribution in DISTRIBUTIONS and entry.kind in kinds
    ]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / keras.backend.backend()
    answer = run(keras.backend.backend(), "export", folder, *SAMPLE)
    assert answer["skipped"] == {}
    assert answer["components"] == len(SAMPLE)
    return folder


@pytest.mark.parametrize("backend", OTHERS)
def test_a_sample_gives_the_same_on_another_backend(exported: Path, backend: str) -> None:
    answer = run(backend, "verify", exported)
    (writer,) = answer["writers"].values()
    print(f"\n{answer['reader']}: {writer}")
    assert writer["agree"] == len([*exported.glob("*.keras")])


def test_the_sample_holds_every_kind() -> None:
    assert {registry.find(name).kind for name in SAMPLE} == set(STORED)


def test_only_functions_are_not_part_of_model_files(tmp_path: Path) -> None:
    rest = entries("function")
    assert len(rest) + len(entries(*STORED)) == sum(
        entry.distribution in DISTRIBUTIONS for entry in registry.list()
    )
    for entry in rest:
        with pytest.raises(NotApplicable, match="function"):
            export_golden(entry.id, tmp_path)


ARCHIVES = sorted(Path(__file__).with_name("archive").glob("golden-*.zip"))


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.stem)
def test_every_component_of_a_release_is_still_known(archive: Path, tmp_path: Path) -> None:
    """By its identifier or an alias; `nox -s exchange` compares the numbers, too."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path)
    files = sorted(tmp_path.glob("*.keras"))
    unknown = {path.stem: report.problems for path in files
               if not (report := inspect_model(path)).loadable}  # fmt: skip
    assert unknown == {}
    assert len(files) >= 78


def test_an_archived_file_gives_what_it_gave(tmp_path: Path) -> None:
    with zipfile.ZipFile(ARCHIVES[0]) as opened:
        for suffix in (".keras", ".npz"):
            opened.extract(f"dl_techniques.RMSNorm-axes_unit_offset{suffix}", tmp_path)
    assert verify_golden(tmp_path / "dl_techniques.RMSNorm-axes_unit_offset.keras").keras == "3.8.0"


# The comparison itself: it must see what differs.


def tamper(path: Path, what: str, change: Any) -> None:
    with np.load(path.with_suffix(".npz")) as archive:
        arrays = dict(archive)
    arrays[what] = change(arrays[what])
    np.savez(path.with_suffix(".npz"), **arrays)


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    example = Example(keras.layers.Dense, {"units": 2, "activation": "tanh"}, TensorSpec((3, 4)))
    (path,) = export_golden(example, tmp_path)
    golden = verify_golden(path)
    assert golden.keras == keras.version()
    assert golden.backend == keras.backend.backend()
    assert golden.outputs <= 1e-6
    assert golden.gradients <= 1e-6
    return path


@pytest.mark.parametrize("what", ["output 0", "gradient 0", "gradient 1", "gradient 2"])
def test_a_number_that_differs_is_found(dense: Path, what: str) -> None:
    tamper(dense, what, lambda array: array + 3e-5 * np.abs(array).max() + 3e-5)
    with pytest.raises(AssertionError, match=what.partition(" ")[0]):
        verify_golden(dense)


@pytest.mark.parametrize("what", ["output 0", "gradient 0"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_found(dense: Path, what: str, value: float) -> None:
    tamper(dense, what, lambda array: np.full_like(array, value))
    with pytest.raises(AssertionError, match="differ"):
        verify_golden(dense)


@pytest.mark.parametrize("what", ["output 0", "gradient 0"])
def test_another_shape_is_found(dense: Path, what: str) -> None:
    tamper(dense, what, lambda array: array[:1])
    with pytest.raises(AssertionError, match="shape"):
        verify_golden(dense)


def test_weights_have_left_their_beginnings(dense: Path) -> None:
    from dl_techniques.core import load_model

    _, bias = load_model(dense).get_weights()
    assert np.all(bias != 0)
