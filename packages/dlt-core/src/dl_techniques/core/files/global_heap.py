"""The part of an HDF5 file that makes the HDF5 library hang when it is damaged.

Texts of attributes lie in global heaps. Releases of the library up to 2.0 follow the objects of a
heap by their sizes without looking where these lead, and one changed byte makes them go round
for ever, in C, where nothing can interrupt them. So the heaps are checked first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_HEAP: Final = b"GCOL\x01\x00\x00\x00"  # signature, version, three reserved bytes
_SIZE: Final = struct.Struct("<8xQ")
_OBJECT: Final = struct.Struct("<HH4sQ")  # index, references, reserved, size
_FREE: Final = 0
_BLOCK: Final = 1 << 20
_LARGEST: Final = 8 << 20  # of texts that Keras writes, many thousands


def fault(path: Path) -> str | None:
    """What is wrong with the global heaps of a file.

    Args:
        path: The HDF5 file.

    Returns:
        The text of the finding, or `None` if the library may have it.
    """
    with path.open("rb") as file:
        for start in _starts(file):
            file.seek(start)
            if not _sound(file.read(_LARGEST)):
                return f"has a damaged heap at byte {start}."
    return None


def _starts(file: BinaryIO) -> Iterator[int]:
    """Where heaps start: everywhere that one could be found, whoever refers to it."""
    kept, offset = b"", 0
    while True:
        file.seek(offset + len(kept))
        data = kept + file.read(_BLOCK)
        found = data.find(_HEAP)
        while found >= 0:
            yield offset + found
            found = data.find(_HEAP, found + 1)
        if len(data) == len(kept):
            return
        # A signature may lie across two blocks.
        kept, offset = data[1 - len(_HEAP) :], offset + max(len(data) - len(_HEAP) + 1, 0)


def _sound(data: bytes) -> bool:
    """Whether the objects lie one behind the other, each once, up to the end of the heap."""
    if len(data) < _SIZE.size:
        return False
    (end,) = _SIZE.unpack_from(data)
    if end > len(data):
        return False
    position = _SIZE.size
    seen: set[int] = set()
    while position + _OBJECT.size <= end:
        index, _, reserved, size = _OBJECT.unpack_from(data, position)
        if index == _FREE:
            # The rest of the heap; its size counts its own header.
            return bool(size == end - position)
        if reserved != bytes(4) or index in seen or size > end - position:
            return False
        seen.add(index)
        position += _OBJECT.size + -(-size // 8) * 8
    # What is left is smaller than an object's header.
    return bool(_SIZE.size <= position <= end)
