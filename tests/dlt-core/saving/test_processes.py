"""Writers are killed at any moment, and write all at once: every reader sees a whole file."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from dl_techniques.core.atomic_write import sweep
from dl_techniques.core.files.archive import Archive
from dl_techniques.core.files.check import private_folder
from dl_techniques.core.files.report import inspect_model

SAVER = Path(__file__).with_name("saver.py")
PATHS = (str(SAVER.parents[2] / "fuzz"), str(SAVER.parent))
START_SECONDS = 120.0
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")


class Writers:
    """Writers in processes of their own, which are no forks of this one.

    Args:
        mode: Way of saving; see `saver.py`.
    """

    def __init__(self, mode: str) -> None:
        path = os.pathsep.join((*PATHS, os.environ.get("PYTHONPATH", "")))
        # Only a process of one thread can be forked.
        own = {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
        self._maker = subprocess.Popen(
            [sys.executable, str(SAVER), mode],
            env={**os.environ, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(errors := tempfile.TemporaryFile("w+")),  # noqa: SIM115  # lives as long
            bufsize=0,  # `select` must see every line that was not read
            start_new_session=True,
        )
        self._errors = errors
        self._processes: dict[int, int] = {}

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *_: object) -> None:
        # A writer that nobody has heard of yet would hold the pipe open for ever.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._maker.pid, signal.SIGKILL)
        self._maker.communicate()
        self._errors.close()

    def start(self, number: int, target: Path, life: float = 0.0) -> None:
        assert self._maker.stdin is not None
        try:
            self._maker.stdin.write(f"{number} {life} {target}\n".encode())
        except BrokenPipeError:
            pytest.fail(f"the maker of writers ended: {self._last_words()}")

    def wait_until_ready(self, number: int) -> None:
        assert self._maker.stdout is not None
        while number not in self._processes:
            # A writer that failed holds the pipe open no longer than its maker, which says so.
            ready = select.select([self._maker.stdout], [], [], START_SECONDS)[0]
            line = self._maker.stdout.readline() if ready else b""
            assert line, f"no writer {number}: {self._last_words()}"
            started, process = map(int, line.split())
            self._processes[started] = process

    def _last_words(self) -> str:
        code = self._maker.poll()
        self._errors.seek(0)
        return f"exit code {code}, {self._errors.read()[-1000:]}"

    def kill(self, number: int) -> None:
        try:
            os.kill(self._processes[number], signal.SIGKILL)
        except ProcessLookupError:
            pytest.fail(f"the writer {number} died before it was killed: {self._last_words()}")
        self.wait_for_the_end(number)

    def wait_for_the_end(self, number: int) -> None:
        process = self._processes.pop(number)
        end = time.monotonic() + START_SECONDS
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < end:  # a file is looked at when its writer is gone
                os.kill(process, 0)
                time.sleep(0.0005)
            pytest.fail(f"the writer {number} does not end")


def test_a_writer_that_dies_early_fails_the_test(tmp_path: Path) -> None:
    def write() -> None:
        for number in range(3):
            writers.start(number, tmp_path / "model.keras")
            writers.wait_until_ready(number)

    with (
        Writers("no mode of this name") as writers,
        pytest.raises((AssertionError, pytest.fail.Exception), match="KeyError"),
    ):
        write()


def author(target: Path) -> int:
    """Return the file's author; fail if it is not whole, or of two authors."""
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
    """Kill `count` writers; returns how many files were lost, and left-overs found.

    Every second one dies by itself after some time of the processor, so that deaths hit a save
    however busy the machine is. The others are killed from here.
    """
    target, chance = folder / "model.keras", random.Random(mode)
    lost = left = 0
    with Writers(mode) as writers:
        writers.start(0, target)
        for number in range(count):
            life = 0.001 + 0.03 * chance.random() if number % 2 == 0 else 0.0
            writers.start(number + 1, target, life)  # starts while the other is killed
            writers.wait_until_ready(number)
            if number % 2:
                writers.wait_for_the_end(number)
            else:
                time.sleep(chance.random() * 0.03)
                writers.kill(number)
            report = inspect_model(target)
            # The one before may have been the last to finish: its successor died in a later save.
            lost += not (report.loadable and abs(author(target) - number) <= 1)
            left += len(sweep(target))
        writers.wait_until_ready(count)
        (writers.wait_for_the_end if count % 2 else writers.kill)(count)
        left += len(sweep(target))
    return lost, left


def test_a_hundred_kills(tmp_path: Path) -> None:
    lost, left = kill(tmp_path, "forged", 100)
    print(f"\n100 writers killed: {lost} files lost, {left} left-overs swept by the next")
    assert lost == 0
    assert left > 10  # otherwise the kills did not hit
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_kills_of_whole_saves(tmp_path: Path) -> None:
    lost, left = kill(tmp_path, "keras", 12)
    print(f"\n12 calls of save_model killed: {lost} files lost, {left} left-overs swept")
    assert lost == 0
    assert left > 0


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "count"), [("forged", 500), ("keras", 100)])
def test_many_kills(tmp_path: Path, mode: str, count: int) -> None:
    lost, left = kill(tmp_path, mode, count)
    print(f"\n{count} writers killed ({mode}): {lost} files lost, {left} left-overs swept")
    assert lost == 0


@pytest.mark.parametrize("seconds", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_eight_writers_one_path(tmp_path: Path, seconds: int) -> None:
    target = tmp_path / "model.keras"
    reads, authors, unreadable = 0, set(), []
    with Writers("forged") as writers:
        for number in range(8):
            writers.start(number, target)
        for number in range(8):
            writers.wait_until_ready(number)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            reads += 1
            try:
                authors.add(author(target))
            except Exception as error:  # any is a reader's loss
                unreadable.append(error)
    lost = len(unreadable)
    print(f"\n8 writers, {seconds} s: {reads} reads, {len(authors)} authors, {lost} unreadable")
    assert unreadable == []
    assert len(authors) > 1
