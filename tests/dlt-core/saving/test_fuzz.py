"""Mutated files are accepted or refused: no crash, no hang, no other exception."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "fuzz"


def fuzz(*arguments: str, script: str = "fuzz_models.py") -> dict[str, Any]:
    # In a process of its own, which has no threads and can be forked.
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), *arguments],
        # JAX's writes to its own cache would count as the file's.
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "JAX_ENABLE_COMPILATION_CACHE": "false",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout)
    print(f"\n{script}: {report['files']} files, slowest {report['slowest']} s, {report['counts']}")
    return report


@pytest.mark.parametrize("count", [1000, pytest.param(4000, marks=pytest.mark.slow)])
def test_archives_and_configurations(count: int) -> None:
    report = fuzz("--count", str(count), "--kind", "archive", "--kind", "config")
    assert report["violations"] == []
    # A fuzzer that breaks everything, or nothing, at the door tests nothing behind it.
    counts = report["counts"]
    assert sum(counts.values()) == count
    assert all(counts[f"{kind}: {outcome}"] > 20 for kind in ("archive", "config")
               for outcome in ("accepted", "refused"))  # fmt: skip


def test_two_thousand_hdf5_files() -> None:
    report = fuzz("--count", "2000", script="fuzz_hdf5.py")
    assert report["violations"] == []
    counts = report["counts"]
    assert sum(counts.values()) == 2000
    assert counts["read"] > 200
    assert counts["refused"] > 200


def test_hdf5_files_are_analysed() -> None:
    pytest.importorskip("dl_techniques.weightwatcher")
    report = fuzz("--count", "300", "--watch", script="fuzz_hdf5.py")
    assert report["violations"] == []
    assert report["counts"]["read"] > 30
    assert report["counts"]["refused"] > 30


def test_hdf5_files_of_a_folder(tmp_path: Path) -> None:
    from hdf5_mutations import write_corpus

    write_corpus(tmp_path)
    (tmp_path / "text.h5").write_text("no HDF5")
    report = fuzz(str(tmp_path), script="fuzz_hdf5.py")
    assert report["violations"] == []
    assert report["files"] == len([*tmp_path.iterdir()])
    assert report["counts"]["read"] >= 12
    assert report["counts"]["refused"] >= 1


@pytest.mark.parametrize(
    ("fault", "says"),
    [("crash", "SIGSEGV"), ("hang", "hung"), ("grow", "MiB"), ("fail", "ZeroDivisionError")],
)
def test_the_fuzzer_sees_every_fault(fault: str, says: str) -> None:
    report = fuzz(fault, script="faults.py")
    (violation,) = report["violations"]
    assert violation.startswith("7: ")
    assert says in violation
    assert sum(report["counts"].values()) == 17
    assert report["counts"]["fine"] >= 16


def test_damaged_distributions() -> None:
    report = fuzz("--count", "900", script="fuzz_plugins.py")
    assert report["violations"] == []
    assert report["slowest"] < 5  # of the processor: a bound against hanging
    counts = report["counts"]
    assert sum(counts.values()) == 900
    assert counts["manifest: problem"] > 20
    assert counts["entry points: problem"] > 20
    assert counts["metadata: listed"] > 20


def test_the_loader_on_files_that_the_reader_accepts() -> None:
    kinds = ("--kind", "config", "--kind", "weights", "--kind", "state")
    report = fuzz("--count", "300", "--start", "1000000", *kinds, "--load")
    assert report["violations"] == []
    assert report["slowest"] < 5  # of the processor: a bound against hanging
    assert all(report["counts"][f"{kind}: loaded"] > 2 for kind in ("config", "weights", "state"))
