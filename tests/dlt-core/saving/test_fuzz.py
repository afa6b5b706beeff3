"""Mutated files are accepted or refused: no crash, no hang, no other exception."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "fuzz" / "fuzz_models.py"


def fuzz(*arguments: str) -> dict[str, Any]:
    # In a process of its own: a crash of the HDF5 library would end this one.
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout)
    print(f"\n{report['files']} mutated files, slowest {report['slowest']} s, {report['counts']}")
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


@pytest.mark.parametrize("kind", ["config", "weights"])
def test_the_loader_on_what_the_reader_accepts(kind: str) -> None:
    report = fuzz("--count", "150", "--start", "1000000", "--kind", kind, "--load")
    assert report["violations"] == []
    assert report["slowest"] < 5
