"""Files that are replaced whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_SUFFIX: Final = ".saving"
_PARTS: Final = 6  # nothing, key, host, process, token, suffix
# After a day, a folder of another host or of a process whose number was given away is stale.
_STALE_SECONDS: Final = 24 * 3600

# The folders in which this process is writing.
_active: set[str] = set()


@contextmanager
def replacing(target: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """A path to write to, which becomes `target` when the block ends without an exception.

    The path lies in a private folder beside the target, so that helper files of whoever writes
    are private too and the final rename stays within one file system. The target itself is never
    opened. After the block the file is synced, given the permissions of the file that it
    replaces, and renamed; then the folder is synced. Left-overs of writers that died are removed
    first. Of several writers, the last to finish wins, and readers see whole files only.

    Args:
        target: The file to make or to replace. If it is a symbolic link, the file that it points
            to is replaced and the link stays.
        overwrite: Whether an existing file may be replaced.

    Yields:
        The path to write to; it has the target's name and does not exist yet.

    Raises:
        FileExistsError: If the target exists and `overwrite` is false, also if it came into
            being while the block ran.
        IsADirectoryError: If the target is a folder.
        FileNotFoundError: If the target's folder does not exist.
        OSError: If the file cannot be written; the target is then as it was.
    """
    real = _resolve(target)
    if real.is_dir():
        raise IsADirectoryError(f"{target} is a folder; a file was expected.")
    if not real.parent.is_dir():
        raise FileNotFoundError(f"{target} cannot be written: {real.parent} is no folder.")
    if real.exists() and not overwrite:
        raise FileExistsError(f"{target} exists and `overwrite` is false.")
    sweep(real)
    # The writer's host and process, and the file: `sweep` reads them back.
    parts = (_key(real), _host(), str(os.getpid()), secrets.token_hex(8))
    folder = real.parent / f".{'.'.join(parts)}{_SUFFIX}"
    _active.add(folder.name)
    try:
        folder.mkdir(mode=0o700)
        temporary = folder / real.name
        yield temporary
        sync(temporary)
        _copy_mode(real, temporary)
        if overwrite:
            temporary.replace(real)
        else:
            _publish(temporary, real)
        sync(real.parent)
    finally:
        # The next writer sweeps a file that cannot be removed now.
        shutil.rmtree(folder, ignore_errors=True)
        _active.discard(folder.name)


def sweep(target: Path) -> list[Path]:
    """Remove what writers of this target left behind when they died.

    Args:
        target: The file that they were to write.

    Returns:
        The folders that were removed.
    """
    removed = []
    for folder in target.parent.glob(f".{_key(target)}.*{_SUFFIX}"):
        parts = folder.name.split(".")
        if len(parts) == _PARTS and parts[3].isdigit() and _stale(folder, parts[2], int(parts[3])):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def sync(path: Path) -> None:
    """Have the system write a file or folder to the disk.

    Args:
        path: The file or folder.
    """
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder, and writes renames through by itself.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _resolve(target: Path) -> Path:
    try:
        return target.resolve()
    except RuntimeError as error:  # what pathlib raises for a loop of links
        raise OSError(f"{target} is a loop of symbolic links.") from error


def _copy_mode(source: Path, target: Path) -> None:
    try:
        mode = stat.S_IMODE(source.stat().st_mode)
    except FileNotFoundError:
        return
    target.chmod(mode)


def _publish(temporary: Path, target: Path) -> None:
    """Move without replacing: a link, unlike a rename, fails if the name is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: the check and the rename are two steps there.
        if target.exists():
            raise FileExistsError(f"{target} exists and `overwrite` is false.") from None
        temporary.rename(target)


def _stale(folder: Path, host: str, process: int) -> bool:
    try:
        age = time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return False
    if age > _STALE_SECONDS:
        return True
    if host == _host() and process == os.getpid():
        return folder.name not in _active
    # Signal 0 asks whether a process lives; on Windows the same call would interrupt it.
    return os.name == "posix" and host == _host() and not _alive(process)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _key(target: Path) -> str:
    """The target's name in few characters, so that no name is too long for a folder."""
    return hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:64] or "host"
