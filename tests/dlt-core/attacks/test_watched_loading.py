"""The loader refuses every hostile file on this backend, and nothing of theirs runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from model_attacks import IN_PROCESS

HERE = Path(__file__).parent
FUZZ = HERE.parents[1] / "fuzz"
# One process loads them all, for every test of this file.
pytestmark = pytest.mark.xdist_group("watched loading")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("watched")
    answer = folder / "results.json"
    subprocess.run(
        [sys.executable, str(HERE / "watched_loading.py"), str(folder), str(answer)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(FUZZ), str(HERE), os.environ.get("PYTHONPATH", ""))),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # JAX's writes to its own cache would count as the file's.
            "JAX_ENABLE_COMPILATION_CACHE": "false",
        },
        check=True,
        timeout=300,
    )
    made: dict[str, Any] = json.loads(answer.read_text())
    return made


def test_all_attacks_are_refused_and_run_nothing(results: dict[str, Any]) -> None:
    process = results["process"]
    others = {
        a.name: results[a.name] for a in IN_PROCESS if results[a.name]["outcome"] != "refused"
    }
    slowest = max(results[attack.name]["seconds"] for attack in IN_PROCESS)
    print(
        f"\n{len(IN_PROCESS) - len(others)} of {len(IN_PROCESS)} hostile files refused on Keras "
        f"{process['keras']}, {process['backend']}; slowest {slowest:.2f} s of CPU time"
    )
    assert others == {}
    assert {a.name: results[a.name]["violations"] for a in IN_PROCESS} == {
        a.name: [] for a in IN_PROCESS
    }
    assert process["canary"] is False
    assert process["floatx kept"] is True
    assert [name for name in process["left over"] if name.startswith("dl_techniques-")] == []
    assert slowest < 20  # a bound against hanging


def test_each_refusal_says_why(results: dict[str, Any]) -> None:
    wrong = {a.name: results[a.name]["text"] for a in IN_PROCESS
             if not re.search(a.says, results[a.name]["text"])}  # fmt: skip
    assert wrong == {}
