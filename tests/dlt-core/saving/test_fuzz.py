"""Mutated files are accepted or refused: no crash, no hang, no other exception."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "fuzz"


def fuzz(*arguments: str, script: str = "fuzz_models.py") -> dict[str, Any]:
    # In a process of its own: a crash of the HDF5 library would end this one.
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), *arguments],
        # What JAX writes to its own cache would be taken for a deed of the file.
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


def test_two_thousand_files() -> None:
    report = fuzz("--count", "2001")
    assert report["violations"] == []
    assert report["slowest"] < 5
    # A fuzzer that breaks everything, or nothing, at the door tests nothing behind it.
    counts = report["counts"]
    assert sum(counts.values()) == 2001
    assert all(counts[f"{kind}: {outcome}"] > 20 for kind in ("archive", "config", "weights")
               for outcome in ("accepted", "refused"))  # fmt: skip


def test_what_distributions_say_of_themselves() -> None:
    report = fuzz("--count", "900", script="fuzz_plugins.py")
    assert report["violations"] == []
    assert report["slowest"] < 5
    counts = report["counts"]
    assert sum(counts.values()) == 900
    assert counts["manifest: problem"] > 20
    assert counts["entry points: problem"] > 20
    assert counts["metadata: listed"] > 20


def test_the_loader_on_what_the_reader_accepts() -> None:
    kinds = ("--kind", "config", "--kind", "weights")
    report = fuzz("--count", "200", "--start", "1000000", *kinds, "--load")
    assert report["violations"] == []
    assert report["slowest"] < 5
    assert all(report["counts"][f"{kind}: loaded"] > 2 for kind in ("config", "weights"))
