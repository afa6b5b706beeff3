"""Golden files: all that is stored has one, those of releases stay good, and they see what differs.

`nox -s exchange` compares every component between backends, and `nox -s skew` between versions of
Keras; test_exchange.py compares a sample.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from golden_files import STORED

from dl_techniques.core import Example, TensorSpec, inspect_model, registry
from dl_techniques.core.testing import NotApplicable, export_golden, verify_golden

for name in ("layers", "losses"):
    pytest.importorskip(f"dl_techniques.{name}")

DISTRIBUTIONS = ("dlt-layers", "dlt-losses")


def entries(*kinds: str) -> list[Any]:
    return [
        entry
        for entry in registry.list()
        if entry.distribution in DISTRIBUTIONS and entry.kind in kinds
    ]


def test_only_functions_are_not_part_of_model_files(tmp_path: Path) -> None:
    rest = entries("function")
    assert len(rest) + len(entries(*STORED, "model")) == sum(
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
    assert len(files) >= 83


def test_an_archived_file_gives_its_recorded_outputs(tmp_path: Path) -> None:
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
def test_values_that_are_not_finite_are_found(dense: Path, what: str, value: float) -> None:
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
