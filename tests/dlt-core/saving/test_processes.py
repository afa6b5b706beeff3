"""Writers are killed at any moment, and write all at once: every reader sees a whole file."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from dl_techniques.core.archive import Archive
from dl_techniques.core.atomic import sweep
from dl_techniques.core.inspection import inspect_model, private_folder

SAVER = Path(__file__).with_name("saver.py")
PATHS = os.pathsep.join((str(SAVER.parents[2] / "fuzz"), str(SAVER.parent)))


def start(target: Path, mode: str, number: int) -> subprocess.Popen[str]:
    """A writer in a process of its own, never a fork of this one."""
    return subprocess.Popen(
        [sys.executable, str(SAVER), str(target), mode, str(number)],
        env={**os.environ, "PYTHONPATH": PATHS, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def author(target: Path) -> int:
    """Who wrote the file; fails if it is not whole, or of two authors."""
    with Archive(target) as archive, private_folder() as folder:
        path = archive.extract("model.weights.h5", Path(folder))
        with h5py.File(path) as file:
            values = np.concatenate(
                [np.ravel(file[f"layers/{name}/vars/{i}"]) for name in file["layers"]
                 if "vars" in file[f"layers/{name}"] for i in file[f"layers/{name}/vars"]]
            )  # fmt: skip
    assert len(set(values.tolist())) == 1
    return int(values[0])


def kill(folder: Path, mode: str, count: int) -> tuple[int, int]:
    """Kill `count` writers; returns how many files were lost, and left-overs found."""
    target, chance = folder / "model.keras", random.Random(mode)
    lost = left = 0
    waiting = [start(target, mode, 0)]
    for number in range(count):
        if number + 1 < count:
            waiting.append(start(target, mode, number + 1))  # starts while the other is killed
        victim = waiting.pop(0)
        wait_until_ready(victim)
        time.sleep(chance.random() * 0.03)
        victim.kill()
        victim.wait()
        assert victim.stdout is not None
        victim.stdout.close()
        report = inspect_model(target)
        lost += not (report.loadable and author(target) in {number, number + 1})
        left += len(sweep(target))
    return lost, left


def test_a_hundred_kills(tmp_path: Path) -> None:
    lost, left = kill(tmp_path, "forged", 100)
    print(f"\n100 writers killed: {lost} files lost, {left} left-overs swept by the next")
    assert lost == 0
    assert left > 20  # otherwise the kills did not hit
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_kills_of_whole_saves(tmp_path: Path) -> None:
    lost, left = kill(tmp_path, "keras", 8)
    print(f"\n8 calls of save_model killed: {lost} files lost, {left} left-overs swept")
    assert lost == 0


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "count"), [("forged", 500), ("keras", 100)])
def test_many_kills(tmp_path: Path, mode: str, count: int) -> None:
    lost, left = kill(tmp_path, mode, count)
    print(f"\n{count} writers killed ({mode}): {lost} files lost, {left} left-overs swept")
    assert lost == 0


@pytest.mark.parametrize("seconds", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_eight_writers_one_path(tmp_path: Path, seconds: int) -> None:
    target = tmp_path / "model.keras"
    writers = [start(target, "forged", number) for number in range(8)]
    for writer in writers:
        wait_until_ready(writer)
    reads, authors, unreadable = 0, set(), []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        reads += 1
        try:
            authors.add(author(target))
        except Exception as error:  # any is a reader's loss
            unreadable.append(error)
    for writer in writers:
        writer.kill()
        writer.wait()
        assert writer.stdout is not None
        writer.stdout.close()
    lost = len(unreadable)
    print(f"\n8 writers, {seconds} s: {reads} reads, {len(authors)} authors, {lost} unreadable")
    assert unreadable == []
    assert len(authors) > 1
