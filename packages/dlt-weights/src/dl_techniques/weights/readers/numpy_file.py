"""Weights of .npy and .npz files, memory-mapped where they are stored plainly."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from dl_techniques.core.text import short_repr
from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers.values import (
    Held,
    Mapped,
    Unread,
    Values,
    numpy_dtype,
    require_shape,
)
from dl_techniques.weights.readers.zip_archive import (
    data_offset,
    is_stored,
    opened_zip,
    read_member,
)

_HEADER_LIMIT: Final = 1 << 16
_MEMBER_LIMIT: Final = 1 << 40


def read_npy(path: Path) -> dict[str, Values]:
    """The one array of a file, under the file's name.

    Args:
        path: The file.

    Raises:
        UnreadableFile: If it is damaged, or holds Python objects.
    """
    return {path.stem: _mapped(path, 0, path.stat().st_size)}


def read_npz(path: Path) -> dict[str, Values]:
    """Name -> values of an archive.

    Args:
        path: The file.

    Raises:
        UnreadableFile: If it is damaged, or holds Python objects.
    """
    with opened_zip(path) as members:
        found: dict[str, Values] = {}
        for member, info in members.items():
            found[member.removesuffix(".npy")] = _member(path, info)
        return found


def _member(path: Path, info: zipfile.ZipInfo) -> Values:
    """One array of an archive; what holds no numbers is listed, and cannot be read."""
    try:
        if is_stored(info):
            return _mapped(path, data_offset(path, info), info.file_size)
        return _inflated(path, read_member(path, info, _MEMBER_LIMIT))
    except NotNumbers as error:
        return Unread((), "unknown", f"not read: {error}")


class NotNumbers(UnreadableFile):  # the name says it already
    """An array of Python objects, texts or records."""


def _mapped(path: Path, offset: int, size: int) -> Values:
    with path.open("rb") as file:
        file.seek(offset)
        head = file.read(min(size, _HEADER_LIMIT))
    begin, shape, fortran, dtype = _header(path, head)
    mapped = Mapped(path, offset + begin, shape, dtype.newbyteorder("=").name, fortran)
    if begin + mapped.nbytes > size:
        raise UnreadableFile(f"{path} is cut off.")
    return mapped if dtype.isnative else Held(mapped.read().view(dtype))


def _inflated(path: Path, data: bytes) -> Values:
    begin, shape, fortran, dtype = _header(path, data[:_HEADER_LIMIT])
    count = 1
    for n in shape:
        count *= n
    if begin + count * dtype.itemsize > len(data):
        raise UnreadableFile(f"{path} is cut off.")
    flat = np.frombuffer(data, dtype, count, begin)
    return Held(flat.reshape(shape, order="F" if fortran else "C"))


def _header(path: Path, head: bytes) -> tuple[int, tuple[int, ...], bool, np.dtype[Any]]:
    stream = io.BytesIO(head)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        read = readers.get(np.lib.format.read_magic(stream))
        if read is None:
            raise ValueError("an unknown version")
        shape, fortran, dtype = read(stream)
    # A header is a Python literal, which fails in many ways.
    except Exception as error:
        raise UnreadableFile(f"{path} is damaged: {short_repr(str(error))}") from error
    if dtype.kind not in "fiubc" or dtype.hasobject:
        raise NotNumbers(f"{path} holds {short_repr(str(dtype))}, which is not read.")
    numpy_dtype(dtype.name)
    return stream.tell(), require_shape(shape), bool(fortran), dtype
