"""Members of zip archives of strangers: where they lie, read under limits."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dl_techniques.core.text import short_repr, size_text
from dl_techniques.weights.errors import UnreadableFile

_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_MEMBERS: Final = 200_000
# Numbers hardly shrink: what grows more than this is a bomb.
_INFLATION: Final = 20
_SLACK: Final = 1 << 20


@contextmanager
def opened_zip(path: Path) -> Iterator[dict[str, zipfile.ZipInfo]]:
    """The members of an archive by name.

    Args:
        path: The archive.

    Raises:
        UnreadableFile: If it is damaged, a name stands twice, or two members overlap.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    # The module has as many ways to report damage as a zip has fields.
    except Exception as error:
        raise UnreadableFile(f"{path} is a damaged archive: {short_repr(str(error))}") from error
    members = {info.filename: info for info in infos}
    if len(infos) > _MEMBERS or len(members) < len(infos):
        raise UnreadableFile(f"{path} has a name twice, or more than {_MEMBERS:,} members.")
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end or info.header_offset + info.compress_size > size:
            raise UnreadableFile(f"{path} has members that overlap or lie outside the file.")
        end = info.header_offset + info.compress_size
    yield members


def is_stored(info: zipfile.ZipInfo) -> bool:
    """Return whether a member's bytes lie in the archive as they are.

    Args:
        info: The member.
    """
    plain = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
    return plain and info.compress_size == info.file_size


def data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """The first byte of a member's data.

    Args:
        path: The archive.
        info: The member.

    Raises:
        UnreadableFile: If there is no member at its place.
    """
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise UnreadableFile(f"{path} is cut off.")
    signature, name, extra = _LOCAL_HEADER.unpack(header)
    begin = info.header_offset + _LOCAL_HEADER.size + name + extra
    if signature != b"PK\x03\x04" or begin + info.compress_size > path.stat().st_size:
        raise UnreadableFile(f"{path} is a damaged archive.")
    return int(begin)


def read_member(path: Path, info: zipfile.ZipInfo, limit: int) -> bytes:
    """The bytes of a member.

    Args:
        path: The archive.
        info: The member.
        limit: Most bytes that it may have.

    Raises:
        UnreadableFile: If it is larger, grows suspiciously, or is damaged.
    """
    bound = min(limit, _INFLATION * info.compress_size + _SLACK)
    if info.file_size > bound:
        raise UnreadableFile(
            f"{path}: {short_repr(info.filename)} would take {size_text(info.file_size)}."
        )
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as file:
            return file.read(bound)
    except Exception as error:  # as above
        raise UnreadableFile(f"{path} is a damaged archive: {short_repr(str(error))}") from error
