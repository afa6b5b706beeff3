"""The part of an HDF5 file that makes the HDF5 library hang when it is damaged.

Texts of attributes lie in global heaps. Releases of the library up to 2.0 follow the objects of a
heap by their sizes without looking where these lead, and one changed byte makes them go round
for ever, in C, where nothing can interrupt them. So the heaps are checked first.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Final

_HEAP: Final = b"GCOL\x01\x00\x00\x00"  # signature, version, three reserved bytes
_SIZE: Final = struct.Struct("<8xQ")
_OBJECT: Final = struct.Struct("<HH4sQ")  # index, references, reserved, size
_FREE: Final = 0


def fault(path: Path) -> str | None:
    """What is wrong with the global heaps of a file.

    Args:
        path: The HDF5 file.

    Returns:
        The text of the finding, or `None` if the library may have it.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_HEAP)
        while start >= 0:
            length = _length(data, start)
            if length is None or not _sound(data, start, length):
                return f"has a damaged heap at byte {start}."
            start = data.find(_HEAP, start + length)
    return None


def _length(data: mmap.mmap, start: int) -> int | None:
    if start + _SIZE.size > len(data):
        return None
    (length,) = _SIZE.unpack_from(data, start)
    fits = _SIZE.size + _OBJECT.size <= length <= len(data) - start
    return int(length) if fits else None


def _sound(data: mmap.mmap, start: int, length: int) -> bool:
    """Whether the objects lie one behind the other, each once, up to the end of the heap."""
    position, end = start + _SIZE.size, start + length
    seen: set[int] = set()
    while position + _OBJECT.size <= end:
        index, _, reserved, size = _OBJECT.unpack_from(data, position)
        if index == _FREE:
            # The rest of the heap; its size counts its own header.
            return bool(size == end - position)
        padded = -(-size // 8) * 8
        if reserved != bytes(4) or index in seen or size > end - position:
            return False
        seen.add(index)
        position += _OBJECT.size + padded
    # What is left is smaller than an object's header.
    return position <= end
