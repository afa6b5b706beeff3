"""Weights of PyTorch's .pt, .pth, .bin and .ckpt files, without PyTorch and running no pickles.

Since PyTorch 1.6 such a file is a zip archive: one pickle that describes tensors, and their
storages as plain members. Before, it was a stream of pickles with the storages after them. Both are
read by an unpickler that knows the names that `torch.load(weights_only=True)` accepts and refuses
every other, so that nothing of the file's choosing runs; storages are memory-mapped.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from dl_techniques.weights.readers.limits import fault_of_shape, shown
from dl_techniques.weights.readers.zip_archive import data_offset
from dl_techniques.weightwatcher.readers.checkpoint import tensors_of
from dl_techniques.weightwatcher.readers.torch_names import ALLOWED, Tensor, Unread
from dl_techniques.weightwatcher.readers.torch_storage import Storage
from dl_techniques.weightwatcher.readers.values import Values
from dl_techniques.weightwatcher.readers.weight import Skipped, SourceError

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_COUNT_BYTES: Final = 8


def read_torch(path: Path) -> tuple[dict[str, Values], list[Skipped]]:
    """Name -> values of a checkpoint: a state dict, or dictionaries that hold some.

    Args:
        path: The file.

    Raises:
        SourceError: If it is damaged, is no state dict, or names anything beyond tensors.
    """
    with _damage_told(path):
        content = _archive(path) if zipfile.is_zipfile(path) else _stream(path)
    values: dict[str, Values] = {}
    skipped: list[Skipped] = []
    for name, item, reason in tensors_of(content, lambda item: isinstance(item, Tensor | Unread)):
        fault = reason or fault_of_shape(item.shape) or getattr(item, "reason", "")
        try:
            if fault:
                raise ValueError(fault)
            values[name] = item.values()
        except SourceError as error:
            raise SourceError(f"{path}: {error}") from error
        except ValueError as error:
            skipped.append(Skipped(name, shown(item.shape), item.dtype, str(error)))
    return values, skipped


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """A damaged pickle fails in as many ways as there are opcodes."""
    try:
        yield
    except SourceError as error:
        raise SourceError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    except Exception as error:
        raise SourceError(f"{path} cannot be read: {type(error).__name__}: {error}") from error


def _archive(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        name = next((n for n in infos if n.endswith("/data.pkl") or n == "data.pkl"), None)
        if name is None:
            raise SourceError("it holds no data.pkl: it is no PyTorch checkpoint.")
        prefix = name.removesuffix("data.pkl")
        if f"{prefix}constants.pkl" in infos:
            raise SourceError("it is a TorchScript program; pass its state dict.")

        def storage(dtype: str, key: Any, count: Any) -> Storage:
            del count  # the member says it
            info = infos[f"{prefix}data/{key}"]
            if info.compress_type == zipfile.ZIP_STORED:
                return Storage(path, dtype, data_offset(path, info), info.file_size)
            return Storage(path, dtype, None, info.file_size, info)

        with archive.open(name) as file:
            return _Unpickler(file, storage).load()


def _stream(path: Path) -> Any:
    """The format before PyTorch 1.6: pickles, and after them each storage with its length."""
    storages: dict[str, Storage] = {}
    size = path.stat().st_size

    def storage(dtype: str, key: Any, count: Any) -> Storage:
        if type(count) is not int or count < 0:
            raise SourceError("a storage whose length is no natural number")
        return storages.setdefault(str(key), Storage(path, dtype, None, 0))

    with path.open("rb") as file:
        try:
            known = _Unpickler(file, storage).load() == _MAGIC
            known = known and _Unpickler(file, storage).load() == _PROTOCOL
        # It is not a stream of PyTorch's.
        except Exception:
            known = False
        if not known:
            raise SourceError(
                "it is no checkpoint of PyTorch. If PyTorch reads it, load it with "
                "`torch.load(path, weights_only=True)` and pass the state dict itself."
            )
        _Unpickler(file, storage).load()  # the machine that it was written on
        content = _Unpickler(file, storage).load()
        for key in _Unpickler(file, storage).load():
            found = storages[str(key)]
            count = int.from_bytes(file.read(_COUNT_BYTES), "little")
            found.begin, found.size = file.tell(), count * found.itemsize
            if found.begin + found.size > size:
                raise SourceError("it is cut off.")
            file.seek(found.size, 1)
    return content


class _Unpickler(pickle.Unpickler):
    """Knows tensors and containers, and nothing that runs."""

    def __init__(self, file: Any, storage: Callable[[str, Any, Any], Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise SourceError(
                f"it asks for {module}.{name}, which a state dict has no need of. "
                "Load it where you trust it, and pass the state dict itself."
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, _, count, *view = pid
        if isinstance(kind, bytes):
            kind = kind.decode()
        if kind != "storage" or not isinstance(dtype, str):
            raise SourceError("it refers to something that is no storage.")
        found = self._storage(dtype, key, count)
        if not view or view[0] is None:
            return found
        _, first, length = view[0]
        return found.view(first, length)
