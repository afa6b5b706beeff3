"""Where a plainly stored member of a zip archive lies in the file."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Final

_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")


def data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """The first byte of a member's data.

    Args:
        path: The archive.
        info: The member; it must be stored, not compressed.

    Raises:
        ValueError: If the archive is damaged.
    """
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise ValueError("the archive is cut off")
    signature, name, extra = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04":
        raise ValueError("the archive is damaged")
    return int(info.header_offset + _LOCAL_HEADER.size + name + extra)
