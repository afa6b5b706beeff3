"""Weights of HDF5 files: legacy Keras .h5, .weights.h5, and the latter inside .keras archives."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from dl_techniques.core.text import short_repr
from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers.hdf5 import Dataset, Extent, read_content
from dl_techniques.weights.readers.hdf5_chunks import Chunks
from dl_techniques.weights.readers.values import Array, Held, Mapped, Values, numpy_dtype
from dl_techniques.weights.readers.window import Window
from dl_techniques.weights.readers.zip_archive import data_offset, is_stored, opened_zip

_WEIGHTS: Final = "model.weights.h5"
_OPTIMIZERS: Final = ("optimizer", "_optimizer", "optimizer_weights")


def read_h5(path: Path) -> dict[str, Values]:
    """Name -> values of all data sets, but for the optimizer's.

    The names are the paths in the file, without the `model_weights` and `:0` of legacy files:
    `block1/block1/kernel`, or `layers/dense/vars/0`.

    Args:
        path: The file.

    Raises:
        UnreadableFile: If it is damaged, or refers to other files.
    """
    return _read(path, 0, path.stat().st_size)


def read_keras(path: Path) -> dict[str, Values]:
    """Name -> values of the weights inside a .keras archive.

    Args:
        path: The file.

    Raises:
        UnreadableFile: If it is damaged, or its weights are compressed.
    """
    with opened_zip(path) as members:
        info = members.get(_WEIGHTS)
        if info is None or not is_stored(info):
            raise UnreadableFile(f"{path} holds no {_WEIGHTS} that is stored plainly.")
        return _read(path, data_offset(path, info), info.file_size)


def _read(path: Path, offset: int, size: int) -> dict[str, Values]:
    with Window(path, offset, size) as window:
        found: dict[str, Values] = {}
        for dataset in read_content(window, size, str(path)).datasets:
            if not dataset.name.startswith(_OPTIMIZERS):
                key = dataset.name.removeprefix("model_weights/").removesuffix(":0")
                found[key] = _values(path, window, dataset, offset)
        return found


def _values(path: Path, window: Window, dataset: Dataset, offset: int) -> Values:
    content = dataset.content
    if isinstance(content, str):
        raise UnreadableFile(f"{path}: {short_repr(dataset.name)} cannot be read: {content}.")
    if isinstance(content, Extent):
        if np.dtype(content.dtype).isnative:
            return Mapped(path, offset + content.offset, dataset.shape, dataset.dtype)
        raise UnreadableFile(f"{path}: {short_repr(dataset.name)} is big-endian.")
    try:
        array: Array = content.read(window) if isinstance(content, Chunks) else content
    except ValueError as error:
        text = f"{path}: {short_repr(dataset.name)} is damaged: {error}."
        raise UnreadableFile(text) from error
    dtype = numpy_dtype(dataset.dtype)
    return Held(array.view(dtype) if array.dtype.kind == "V" else array.astype(dtype))
