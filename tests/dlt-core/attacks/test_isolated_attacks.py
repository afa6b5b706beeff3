"""Files that ask for memory or time only are refused by a trial in a child process."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from model_attacks import ATTACKS, Attack
from model_forge import Forge

from dl_techniques.core.files.isolation import Trial, resident, try_loading
from dl_techniques.core.files.limits import LIMITS

SMALL = LIMITS._replace(memory=400 << 20, seconds=5.0)
ISOLATED = [attack for attack in ATTACKS if attack.isolated]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    folder = tmp_path_factory.mktemp("isolated")
    files = {a.name: a.build(folder / f"{a.name}.keras", folder / "canary") for a in ISOLATED}
    before = resident(os.getpid())
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda path: try_loading(path, limits=SMALL), files.values())
        trials = dict(zip(files, made, strict=True))
    # What a file costs is its child's.
    assert resident(os.getpid()) - before < 64 << 20
    return trials


def test_a_sound_file_takes_less_memory(tmp_path: Path) -> None:
    trial = try_loading(Forge().write(tmp_path / "a.keras"), limits=SMALL._replace(seconds=60.0))
    assert trial.loaded, trial


@pytest.mark.parametrize("attack", ISOLATED, ids=lambda attack: attack.name)
def test_it_is_refused_within_the_limits(attack: Attack, trials: dict[str, Trial]) -> None:
    trial = trials[attack.name]
    assert trial.outcome in {"refused", "memory", "time"}, trial
    assert trial.message
    assert trial.seconds < SMALL.seconds + 2
