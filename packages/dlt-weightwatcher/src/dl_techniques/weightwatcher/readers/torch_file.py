"""Weights of PyTorch's .pt, .pth and .bin files, without PyTorch and without running pickles.

Such a file is a zip archive: one pickle that describes tensors, and their storages as plain
members. The pickle is read by an unpickler that knows the few names a state dict is made of and
refuses every other, so that nothing of the file's choosing runs; storages are memory-mapped.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from dl_techniques.weightwatcher.readers.array import Array
from dl_techniques.weightwatcher.readers.values import Held, Mapped, Values, numpy_dtype
from dl_techniques.weightwatcher.readers.weight import Skipped, SourceError
from dl_techniques.weightwatcher.readers.zip_member import data_offset

_STORAGES: Final = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_DTYPES: Final = frozenset({*_STORAGES.values(), "float8_e4m3fn", "float8_e5m2"})
_NESTING: Final = 6


def read_torch(path: Path) -> tuple[dict[str, Values], list[Skipped]]:
    """Name -> values of a checkpoint: a state dict, or dictionaries that hold some.

    Args:
        path: The file.

    Raises:
        SourceError: If it is damaged, is no state dict, or names anything beyond tensors.
    """
    if not zipfile.is_zipfile(path):
        raise SourceError(
            f"{path} is no checkpoint of PyTorch 1.6 or newer. Load it with "
            "`torch.load(path, weights_only=True)` and pass the state dict itself."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            name = next((n for n in infos if n.endswith("/data.pkl") or n == "data.pkl"), None)
            if name is None:
                raise SourceError(f"{path} holds no data.pkl: it is no PyTorch checkpoint.")
            if f"{name.removesuffix('data.pkl')}constants.pkl" in infos:
                raise SourceError(f"{path} is a TorchScript program; pass its state dict.")
            with archive.open(name) as file:
                content = _Unpickler(file, path, infos, name.removesuffix("data.pkl")).load()
    except SourceError:
        raise
    # A damaged pickle fails in as many ways as there are opcodes.
    except Exception as error:
        raise SourceError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    values: dict[str, Values] = {}
    skipped: list[Skipped] = []
    _collect(content, "", values, skipped, 0)
    return values, skipped


def _collect(
    item: Any, name: str, values: dict[str, Values], skipped: list[Skipped], depth: int
) -> None:
    if isinstance(item, _Tensor):
        name = name or "tensor"
        try:
            values[name] = item.values()
        except SourceError:
            raise
        except ValueError as error:
            skipped.append(Skipped(name, item.shape, item.storage.dtype, str(error)))
    elif isinstance(item, Mapping) and depth < _NESTING:
        for key, value in item.items():
            _collect(value, f"{name}.{key}" if name else str(key), values, skipped, depth + 1)
    elif isinstance(item, list | tuple) and depth < _NESTING:
        for index, value in enumerate(item):
            _collect(value, f"{name}.{index}" if name else str(index), values, skipped, depth + 1)


class _Storage:
    """A storage: a member of the archive."""

    def __init__(self, path: Path, info: zipfile.ZipInfo, dtype: str) -> None:
        self.path, self.info, self.dtype = path, info, dtype

    def part(self, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Values:
        itemsize = numpy_dtype(self.dtype).itemsize
        reach = sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
        if 0 in shape:
            return Held(np.empty(shape, numpy_dtype(self.dtype)))
        if min((offset, *strides)) < 0 or (offset + reach) * itemsize > self.info.file_size:
            raise SourceError(f"{self.path}: a tensor reaches beyond {self.info.filename}.")
        if math.prod(shape) * itemsize > self.info.file_size:
            # Expanded: a small file can so describe a matrix of any size.
            raise ValueError("its numbers are repeated beyond its storage")
        if self.info.compress_type == zipfile.ZIP_STORED:
            begin = data_offset(self.path, self.info) + offset * itemsize
            if strides == _dense(shape):
                return Mapped(self.path, begin, shape, self.dtype)
            flat = Mapped(self.path, begin, (reach,), self.dtype).read()
        else:
            with zipfile.ZipFile(self.path) as archive:
                flat = np.frombuffer(archive.read(self.info), numpy_dtype(self.dtype))[offset:]
        steps = tuple(s * itemsize for s in strides)
        view: Array = np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False)
        return Held(view)


class _Tensor:
    """A tensor as the pickle describes it."""

    def __init__(self, storage: Any, offset: Any, shape: Any, strides: Any) -> None:
        if not isinstance(storage, _Storage) or type(offset) is not int:
            raise SourceError("a tensor without a storage")
        self.storage, self.offset = storage, offset
        self.shape, self.strides = tuple(shape), tuple(strides)
        if not all(type(n) is int and n >= 0 for n in (*self.shape, *self.strides)):
            raise SourceError("a tensor whose sizes are no natural numbers")

    def values(self) -> Values:
        return self.storage.part(self.offset, self.shape, self.strides)


def _rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_ALLOWED: Final[dict[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): tuple,
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    **{("torch", name): name for name in _DTYPES},
}


class _Unpickler(pickle.Unpickler):
    """Knows tensors and containers, and nothing that runs."""

    def __init__(
        self, file: Any, path: Path, infos: dict[str, zipfile.ZipInfo], prefix: str
    ) -> None:
        super().__init__(file, encoding="utf-8")
        self._path, self._infos, self._prefix = path, infos, prefix

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise SourceError(
                f"{self._path} asks for {module}.{name}, which a state dict has no need of. "
                "Load it where you trust it, and pass the state dict itself."
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, *_ = pid
        if kind != "storage" or not isinstance(dtype, str):
            raise SourceError(f"{self._path} refers to something that is no storage.")
        return _Storage(self._path, self._infos[f"{self._prefix}data/{key}"], dtype)


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
