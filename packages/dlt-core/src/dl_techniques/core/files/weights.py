"""The weights of a model file: checked without libhdf5, and written anew for Keras."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.archive import WEIGHTS, Section
from dl_techniques.core.files.hdf5 import Dataset, HDF5Error, HDF5File
from dl_techniques.core.files.limits import LIMITS, Limits
from dl_techniques.core.text import short_repr, size_text

_HINT: Final = "Fetch the file again, or let its author save it again with `save_model`."


class Weight(NamedTuple):
    """One array of the weights."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    """A Keras dtype name."""

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes that the elements take in memory."""
        return self.size * itemsize(self.dtype)


def itemsize(dtype: str) -> int:
    """Return the bytes of one element.

    Args:
        dtype: A Keras dtype name.

    Example:
        >>> itemsize("bfloat16")
        2
    """
    return 2 if dtype == "bfloat16" else int(np.dtype(dtype).itemsize)


def read_weights(
    source: Section,
    *,
    label: str,
    finite: bool = False,
    limits: Limits = LIMITS,
    copy: Path | None = None,
) -> tuple[Weight, ...]:
    """Read all arrays of a weights file, and write them anew.

    Args:
        source: The HDF5 file.
        label: The model file's name in messages.
        finite: Whether to refuse NaN and infinity.
        limits: The bounds under which it is read.
        copy: The HDF5 file to write, with the same groups and arrays and nothing else.

    Returns:
        The arrays, in the order of their paths.

    Raises:
        ModelFileError: If anything is not a sound array of numbers.
    """
    bounds = {"objects": limits.objects, "depth": limits.groups_depth, "name": limits.name}
    try:
        file = HDF5File(*source, **bounds)  # type: ignore[arg-type]  # IO[bytes] is a BinaryIO
        datasets = [*_bounded(file.datasets(), source.size, limits)]
        if finite or copy is not None:
            _copy(file, datasets, copy, finite=finite)
        else:
            _require_decodable(file, datasets)
    except HDF5Error as error:
        location = short_repr(error.path, 200)[1:-1] if error.path else None
        message = short_repr(error.message, 240)[1:-1]
        raise ModelFileError(
            message, path=label, member=WEIGHTS, location=location, hint=_HINT
        ) from error
    return tuple(Weight(d.path, d.shape, d.dtype) for d in datasets)


def _bounded(datasets: Iterator[Dataset], size: int, limits: Limits) -> Iterator[Dataset]:
    declared = 0
    for dataset in datasets:
        declared += dataset.nbytes
        if declared > limits.expansion * size + limits.slack:
            raise HDF5Error(
                f"declares more than {size_text(declared)} of weights and stores "
                f"{size_text(size)}.",
                dataset.path,
            )
        yield dataset


def _require_decodable(source: HDF5File, datasets: list[Dataset]) -> None:
    """Decode what could fail to decode; the bytes of other arrays are numbers as they are."""
    for dataset in datasets:
        if dataset.filters or dataset.dtype == "bool":
            source.read(dataset)


def _copy(source: HDF5File, datasets: list[Dataset], target: Path | None, *, finite: bool) -> None:
    with contextlib.ExitStack() as stack:
        file: Any = None
        if target is not None:
            import h5py

            file = stack.enter_context(h5py.File(target, "w", locking=False))
            for path in filter(None, source.groups):
                file.create_group(path)
        for dataset in datasets:
            array = source.read(dataset)
            if finite and not _is_finite(array):
                raise HDF5Error(
                    "holds NaN or infinity. The model diverged, or the file was altered.",
                    dataset.path,
                )
            if file is not None:
                made = file.create_dataset(dataset.path, data=array)
                if dataset.dtype == "bfloat16":
                    made.attrs["dtype"] = "bfloat16"


def _is_finite(array: Any) -> bool:
    if array.dtype.kind == "V":  # bfloat16, whose exponent is all ones
        return not bool(((array.view("<u2") & 0x7F80) == 0x7F80).any())
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
