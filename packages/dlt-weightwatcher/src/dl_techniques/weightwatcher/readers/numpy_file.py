"""Weights of .npy and .npz files, memory-mapped where they are stored plainly."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dl_techniques.weights.readers.window import Window
from dl_techniques.weights.readers.zip_archive import data_offset
from dl_techniques.weightwatcher.readers.values import Held, Mapped, Values
from dl_techniques.weightwatcher.readers.weight import Skipped, SourceError


def read_npy(path: Path) -> tuple[dict[str, Values], list[Skipped]]:
    """The one array of a file, under the file's name.

    Args:
        path: The file.

    Raises:
        SourceError: If it is damaged, or holds Python objects.
    """
    return {path.stem: _mapped(path, 0, path.stat().st_size)}, []


def read_npz(path: Path) -> tuple[dict[str, Values], list[Skipped]]:
    """Name -> values of an archive.

    Args:
        path: The file.

    Raises:
        SourceError: If it is damaged.
    """
    values: dict[str, Values] = {}
    skipped: list[Skipped] = []
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                try:
                    if info.compress_type == zipfile.ZIP_STORED:
                        values[name] = _mapped(path, data_offset(path, info), info.file_size)
                    else:
                        with archive.open(info) as member:
                            array = np.lib.format.read_array(member, allow_pickle=False)
                        values[name] = Held(array)
                except ValueError as error:
                    skipped.append(Skipped(name, (), "unknown", f"not read: {error}"))
    except zipfile.BadZipFile as error:
        raise SourceError(f"{path} is damaged: {error}") from error
    return values, skipped


def _mapped(path: Path, offset: int, size: int) -> Values:
    with Window(path, offset, size) as window:
        try:
            version = np.lib.format.read_magic(window)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read is None:
                raise SourceError(f"{path} has the unknown format {version}.")
            shape, fortran, dtype = read(window)
        except ValueError as error:
            raise SourceError(f"{path} is damaged: {error}") from error
        begin = offset + window.tell()
    if dtype.hasobject:
        raise SourceError(f"{path} holds Python objects, which are not loaded.")
    if min(shape, default=0) < 0:
        raise SourceError(f"{path} is damaged: it has the shape {shape}.")
    values = Mapped(path, begin, shape, _name(dtype), fortran)
    if values.nbytes > size - (begin - offset):
        raise SourceError(f"{path} is cut off.")
    return values if dtype.isnative else Held(values.read().view(dtype))


def _name(dtype: np.dtype[Any]) -> str:
    # NumPy writes bfloat16 as bytes of length two without saying what they mean.
    if dtype.kind not in "fiubc":
        raise SourceError(f"values of the type {dtype} are not read")
    return dtype.name
