"""Files of names and arrays, read by dlt-weights: what of them is a weight, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dl_techniques.weights.readers import values as found
from dl_techniques.weights.readers.numpy_file import read_npy, read_npz
from dl_techniques.weights.readers.safetensors_file import read_safetensors
from dl_techniques.weightwatcher.readers.values import Values, adopted
from dl_techniques.weightwatcher.readers.weight import Skipped

_READERS: Final = {".safetensors": read_safetensors, ".npz": read_npz, ".npy": read_npy}
SUFFIXES: Final = tuple(_READERS)


def read_flat(path: Path) -> tuple[dict[str, Values], list[Skipped]]:
    """Name -> values of a file, and its tensors that are not read.

    Args:
        path: A file whose name ends in one of `SUFFIXES`.

    Raises:
        SourceError: If it is damaged.
    """
    values: dict[str, Values] = {}
    skipped: list[Skipped] = []
    for name, item in _READERS[path.suffix.lower()](path).items():
        if isinstance(item, found.Unread):
            skipped.append(Skipped(name, item.shape, item.dtype, item.reason))
        else:
            values[name] = adopted(item)
    return values, skipped
