"""Hashes of files, and what becomes of one that is not the file that was asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from dl_techniques.weights.errors import HashMismatch

_CHUNK: Final = 1 << 20


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Args:
        path: The file.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def require_hash(path: Path, expected: str | None, *, quarantine: bool = False) -> None:
    """Refuse a file with another hash than the expected one.

    Args:
        path: The file.
        expected: Its hash; `None` accepts any.
        quarantine: Whether to move a wrong file aside, so that it is not found again.

    Raises:
        HashMismatch: If the hash differs.
    """
    if expected is None:
        return
    actual = file_hash(path)
    if actual == expected:
        return
    note = ""
    if quarantine:
        aside = path.with_name(f"{path.name}.quarantined-{actual[:12]}")
        path.replace(aside)
        note = f" It was moved to {aside}."
    raise HashMismatch(f"{path} has the SHA-256 {actual} instead of {expected}.{note}")
