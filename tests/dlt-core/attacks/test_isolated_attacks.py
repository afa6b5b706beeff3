"""Files that ask for memory or time only are refused by a trial in a child process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from model_attacks import ATTACKS, Attack
from model_forge import Forge

from dl_techniques.core.files.isolation import resident, try_loading
from dl_techniques.core.files.limits import LIMITS
from dl_techniques.core.files.options import Options

SMALL = LIMITS._replace(memory=400 << 20, seconds=3.0)
# Each trial starts an interpreter and a backend. Graphs that Keras refuses are told sooner.
SLOW = pytest.mark.slow
ISOLATED = [
    pytest.param(a, id=a.name, marks=() if a.row.startswith("resources") else SLOW)
    for a in ATTACKS
    if a.isolated
]


def test_a_sound_file_takes_less_memory(tmp_path: Path) -> None:
    trial = try_loading(
        Forge().write(tmp_path / "a.keras"), Options(limits=SMALL._replace(seconds=60.0))
    )
    assert trial.loaded, trial


@pytest.mark.parametrize("attack", ISOLATED)
def test_it_is_refused_within_the_limits(attack: Attack, tmp_path: Path) -> None:
    path = attack.build(tmp_path / "attack.keras", tmp_path / "canary")
    before = resident(os.getpid())
    trial = try_loading(path, Options(limits=SMALL))
    assert resident(os.getpid()) - before < 64 << 20  # what a file costs is its child's
    assert trial.outcome in {"refused", "memory", "time"}, trial
    assert trial.message
    assert trial.seconds < SMALL.seconds + 2
