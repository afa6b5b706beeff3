"""A file is replaced whole or not at all, whatever happens and whenever."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dl_techniques.core import atomic_write as atomic
from dl_techniques.core.atomic_write import replacing, sweep

OLD, NEW = b"old" * 1000, b"new" * 100_000


@pytest.fixture
def target(tmp_path: Path) -> Path:
    file = tmp_path / "model.keras"
    file.write_bytes(OLD)
    return file


def write(target: Path, data: bytes = NEW, **options: Any) -> None:
    with replacing(target, **options) as temporary, temporary.open("wb") as file:
        for start in range(0, len(data), 4096):
            file.write(data[start : start + 4096])
            file.flush()


def assert_clean(target: Path, content: bytes) -> None:
    assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_replaces_and_leaves_nothing_else(target: Path) -> None:
    write(target)
    assert_clean(target, NEW)


def test_makes_a_new_file_with_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "new.keras")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.keras").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444])
def test_keeps_the_permissions_of_the_old_file(target: Path, mode: int) -> None:
    target.chmod(mode)
    write(target)
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert_clean(target, NEW)


def test_a_link_stays_a_link(target: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link = folder / "link.keras"
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.read_bytes() == NEW
    assert [path.name for path in folder.iterdir()] == ["link.keras"]


def test_a_dangling_link_gets_its_file(tmp_path: Path) -> None:
    link = tmp_path / "link.keras"
    link.symlink_to(tmp_path / "file.keras")
    write(link)
    assert (tmp_path / "file.keras").read_bytes() == NEW
    assert link.is_symlink()


def test_a_loop_of_links_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.keras").symlink_to(tmp_path / "b.keras")
    (tmp_path / "b.keras").symlink_to(tmp_path / "a.keras")
    with pytest.raises(OSError, match="loop"):
        write(tmp_path / "a.keras")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write(tmp_path)


@pytest.mark.parametrize("place", ["missing", "file"])
def test_a_path_below_a_file_is_named(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match=rf"model\.keras cannot be .*{place} is no folder"):
        write(tmp_path / place / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_does_not_overwrite_by_default(target: Path) -> None:
    with pytest.raises(FileExistsError):
        write(target, overwrite=False)
    assert_clean(target, OLD)


def test_does_not_overwrite_a_file_that_came_meanwhile(tmp_path: Path) -> None:
    target = tmp_path / "model.keras"

    def race() -> None:
        with replacing(target, overwrite=False) as temporary:
            temporary.write_bytes(NEW)
            target.write_bytes(OLD)

    with pytest.raises(FileExistsError):
        race()
    assert_clean(target, OLD)


def test_without_overwriting_a_new_file_is_made(tmp_path: Path) -> None:
    write(tmp_path / "model.keras", overwrite=False)
    assert_clean(tmp_path / "model.keras", NEW)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_an_exception_leaves_the_old_file(target: Path, error: type[BaseException]) -> None:
    def interrupted() -> None:
        with replacing(target) as temporary:
            temporary.write_bytes(NEW[:1000])
            raise error

    with pytest.raises(error):
        interrupted()
    assert_clean(target, OLD)


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Makes the system refuse writes beyond a size; pytest's own output must not fall under it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 100_000, len(NEW) - 1])
def test_a_full_disk_leaves_the_old_file(target: Path, size: int) -> None:
    with full_disk(size), pytest.raises(OSError, match="File too large"):
        write(target)
    assert_clean(target, OLD)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize(
    ("owner", "name"),
    [(os, "fsync"), (os, "open"), (Path, "replace"), (Path, "chmod"), (Path, "mkdir")],
)
def test_a_fault_of_the_system_leaves_the_old_file(
    target: Path, owner: Any, name: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(OSError, match=os.strerror(code)):
        write(target)
    monkeypatch.undo()
    assert target.read_bytes() == OLD
    # Without `open`, the folder could not even be removed: the next save does it.
    assert name == "open" or len([*target.parent.iterdir()]) == 1
    write(target)
    assert_clean(target, NEW)


def test_a_fault_after_the_rename_leaves_the_new_file(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def second_fails(path: Path) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.EIO, "the folder could not be synced")

    monkeypatch.setattr(atomic, "sync", second_fails)
    with pytest.raises(OSError, match="folder"):
        write(target)
    assert_clean(target, NEW)


def test_the_target_is_never_opened(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
    write(target)
    assert str(target) not in opened
    opened.clear()


# Left-overs of writers that died.

DYING = """
import os, sys
from pathlib import Path
from dl_techniques.core.atomic_write import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print(temporary.parent, flush=True)
    os.kill(os.getpid(), 9)
"""


def dying_writer(target: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", DYING, str(target)], capture_output=True, text=True, check=False
    )
    return Path(done.stdout.strip())


def test_the_next_writer_removes_files_of_a_killed_one(target: Path) -> None:
    left = dying_writer(target)
    assert left.is_dir()
    assert target.read_bytes() == OLD
    write(target)
    assert_clean(target, NEW)


def test_left_overs_of_other_files_stay(target: Path, tmp_path: Path) -> None:
    left = dying_writer(target)
    write(tmp_path / "other.keras")
    assert left.is_dir()
    assert sweep(target) == [left]


def test_a_living_writer_is_left_alone(target: Path) -> None:
    with replacing(target) as first:
        first.write_bytes(b"first")
        write(target)
        assert first.exists()
    assert target.read_bytes() == b"first"


def test_left_overs_of_other_hosts_wait_for_a_day(target: Path) -> None:
    left = dying_writer(target)
    parts = left.name.split(".")
    foreign = left.rename(left.with_name(".".join([*parts[:2], "another-host", *parts[3:]])))
    assert sweep(target) == []
    os.utime(foreign, (time.time() - 90_000,) * 2)
    assert sweep(target) == [foreign]


def test_many_threads_one_file(target: Path) -> None:
    contents = [bytes([number]) * 50_000 for number in range(8)]
    stop, unreadable = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            data = target.read_bytes()
            if data != OLD and data not in contents:
                unreadable.append(data[:10])

    reader = threading.Thread(target=read)
    writers = [
        threading.Thread(target=lambda c=content: [write(target, c) for _ in range(10)])
        for content in contents
    ]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert unreadable == []
    assert len([*target.parent.iterdir()]) == 1


def test_a_name_of_the_greatest_length(tmp_path: Path) -> None:
    target = tmp_path / ("ä" * 124 + ".keras")
    write(target)
    assert_clean(target, NEW)


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "model.keras"
    write(target, overwrite=False)
    assert_clean(target, NEW)

    def race() -> None:
        target.unlink()
        with replacing(target, overwrite=False) as temporary:
            temporary.write_bytes(NEW)
            target.write_bytes(OLD)

    with pytest.raises(FileExistsError):
        race()
    assert_clean(target, OLD)


def test_a_writer_of_another_user_is_left_alone(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = dying_writer(target)

    def forbidden(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert sweep(target) == []
    monkeypatch.undo()
    assert sweep(target) == [left]
