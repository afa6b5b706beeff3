"""Weights of PyTorch's .pt, .pth, .ckpt and .bin files, without PyTorch; no pickle is run.

Since PyTorch 1.6 such a file is a zip archive: one pickle that describes tensors, and their
storages as members. Before, it was a stream of five pickles followed by the storages. Storages
are memory-mapped in both.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from dl_techniques.core.text import short_repr
from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers.pickle_machine import PickleMachine, Stub
from dl_techniques.weights.readers.torch_names import NAMES, Storage, Tensor, storage_of
from dl_techniques.weights.readers.values import (
    Held,
    Mapped,
    Strided,
    Unread,
    Values,
    numpy_dtype,
)
from dl_techniques.weights.readers.zip_archive import (
    data_offset,
    is_stored,
    opened_zip,
    read_member,
)

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_PICKLE_LIMIT: Final = 1 << 28
_NESTING: Final = 12
_VISITS: Final = 100_000
_SCRIPTED: Final = "__torch__"
_MODULE_PARTS: Final = ("_parameters", "_buffers", "_modules")
_ELSE: Final = (
    ". If PyTorch reads it, load it with `torch.load(path, weights_only=True)`, "
    "and pass the state dict"
)
Place = Callable[[Tensor], Values]
"""From a tensor as the pickle describes it to where its numbers are."""


def read_torch(path: Path, *, allow_stubs: bool = False) -> dict[str, Values]:
    """Name -> values of a checkpoint: a state dict, or dictionaries and modules that hold some.

    Args:
        path: The file.
        allow_stubs: Whether classes that a state dict has no need of are read as inert records,
            in whose `_parameters`, `_buffers` and `_modules` tensors are looked for.

    Raises:
        UnreadableFile: If it is damaged, is no checkpoint, or names anything beyond tensors.
    """
    content, place = read_content(path, allow_stubs=allow_stubs)
    with _file_named(path):
        return {name: _plain(tensor, place) for name, tensor in _collected(content).items()}


def _plain(tensor: Tensor, place: Place) -> Values:
    """The numbers; codes without their scale would be others."""
    if tensor.quantizer:
        return Unread(tensor.shape, tensor.dtype, "quantized tensors are not read")
    return place(tensor)


def read_content(path: Path, *, allow_stubs: bool = False) -> tuple[Any, Place]:
    """Return what a checkpoint holds, with a `Tensor` for each tensor, and where their numbers are.

    Args:
        path: The file.
        allow_stubs: As of `read_torch`.

    Raises:
        UnreadableFile: As `read_torch`. The function that is returned raises it, too.
    """
    with path.open("rb") as file:
        start = file.read(4)
    with _file_named(path):
        return (_read_zip if start[:2] == b"PK" else _read_legacy)(path, allow_stubs)


@contextmanager
def _file_named(path: Path) -> Iterator[None]:
    try:
        yield
    except UnreadableFile as error:
        if str(error).startswith(str(path)):
            raise
        raise UnreadableFile(f"{path} cannot be read: {error}.") from error


def _read_zip(path: Path, allow_stubs: bool) -> tuple[Any, Place]:
    with opened_zip(path) as members:
        name = next((n for n in members if n.endswith("/data.pkl") or n == "data.pkl"), None)
        if name is None:
            raise UnreadableFile("it holds no data.pkl, so it is no checkpoint of PyTorch")
        prefix = name.removesuffix("data.pkl")
        # A program of TorchScript keeps its code beside its tensors; it is not looked at.
        is_program = f"{prefix}constants.pkl" in members
        order = members.get(f"{prefix}byteorder")
        if order is not None and read_member(path, order, 16).strip() != b"little":
            raise UnreadableFile("its numbers are big-endian")
        data = memoryview(read_member(path, members[name], _PICKLE_LIMIT))
        names = _ProgramNames(NAMES) if is_program else NAMES
        content = PickleMachine(data, 0, names, storage_of, allow_stubs=allow_stubs).load()

        def place(tensor: Tensor) -> Values:
            if tensor.storage is None or tensor.reason:
                return _unread(tensor)
            info = members.get(f"{prefix}data/{tensor.storage.key}")
            if info is None:
                raise UnreadableFile(f"it lacks the storage {short_repr(tensor.storage.key)}")
            if is_stored(info):
                return _mapped(path, data_offset(path, info), info.file_size, tensor)
            return _inflated(read_member(path, info, 1 << 40), tensor)

        return content, place


class _ProgramNames(dict[tuple[str, str], Any]):
    """The names of a state dict, and those of TorchScript, which become inert records."""

    def get(self, key: tuple[str, str], default: Any = None) -> Any:
        """The value of a name; the modules of a program have names of their own.

        Args:
            key: Module and name.
            default: The value if it is not known.
        """
        if key[0].partition(".")[0] == _SCRIPTED or key[0] == "torch.jit._pickle":
            return Stub(".".join(key))
        return super().get(key, default)


def _read_legacy(path: Path, allow_stubs: bool) -> tuple[Any, Place]:
    if not path.stat().st_size:
        raise UnreadableFile("it is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        data = memoryview(mapped)
        try:
            return _read_stream(path, data, allow_stubs)
        finally:
            data.release()


class _Storages:
    """The storages of a stream, as its pickles name them."""

    def __init__(self) -> None:
        self.dtypes: dict[str, str] = {}

    def __call__(self, identifier: Any) -> Any:
        storage = storage_of(identifier)
        if isinstance(storage, Storage):
            self.dtypes[storage.key] = storage.dtype
        return storage


def _read_stream(path: Path, data: memoryview, allow_stubs: bool) -> tuple[Any, Place]:
    position, parts, storages = 0, [], _Storages()
    for index in range(5):
        machine = PickleMachine(data, position, NAMES, storages, allow_stubs=allow_stubs)
        try:
            parts.append(machine.load())
        except UnreadableFile as error:
            if index == 0:
                raise UnreadableFile(
                    f"it is neither a zip archive nor a pickle stream{_ELSE}"
                ) from error
            raise
        position = machine.position
        if index == 0 and parts[0] != _MAGIC:
            raise UnreadableFile(f"it is no checkpoint of PyTorch: it has no magic number{_ELSE}")
    _, protocol, system, content, keys = parts
    little = system.get("little_endian", True) if isinstance(system, dict) else None
    if protocol != _PROTOCOL or little is not True or not isinstance(keys, list):
        raise UnreadableFile("its header is not that of a little-endian checkpoint")
    places = _places(data, position, list(map(str, keys)), storages.dtypes)

    def place(tensor: Tensor) -> Values:
        if tensor.storage is None or tensor.reason:
            return _unread(tensor)
        if tensor.storage.key not in places:
            raise UnreadableFile(f"it lacks the storage {short_repr(tensor.storage.key)}")
        return _mapped(path, *places[tensor.storage.key], tensor)

    return content, place


def _places(
    data: memoryview, position: int, keys: list[str], dtypes: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """Return where each storage begins, and how many bytes it has: they follow the pickles."""
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in dtypes:
            raise UnreadableFile("it has a storage of an unknown type")
        count = int.from_bytes(data[position : position + 8], "little")
        nbytes = count * numpy_dtype(dtypes[key]).itemsize
        position += 8
        if position + nbytes > len(data):
            raise UnreadableFile("it is cut off")
        places[key] = (position, nbytes)
        position += nbytes
    return places


def _collected(content: Any) -> dict[str, Tensor]:
    """All tensors by their path; containers may share parts, which must not multiply the work."""
    found: dict[str, Tensor] = {}
    pending: list[tuple[str, Any, int]] = [("", content, 0)]
    visits = 0
    while pending:
        name, item, depth = pending.pop()
        visits += 1
        if visits > _VISITS or depth > _NESTING:
            raise UnreadableFile("it is nested too deep or holds too much")
        if isinstance(item, Tensor):
            found[name or "tensor"] = item
            continue
        children = [(_joined(name, key), value, depth + 1) for key, value in _children(item)]
        pending.extend(reversed(children))
    return found


def _joined(name: str, key: Any) -> str:
    return name if key is None else f"{name}.{key}" if name else str(key)


def _children(item: Any) -> list[tuple[Any, Any]]:
    if isinstance(item, Stub):
        state = item.state if isinstance(item.state, Mapping) else {}
        if item.name.partition(".")[0] == _SCRIPTED:
            return list(state.items())
        inner = [state[part] for part in _MODULE_PARTS if isinstance(state.get(part), Mapping)]
        return [pair for part in inner for pair in part.items()] + list(item.items.items())
    if isinstance(item, Mapping):
        return list(item.items())
    if isinstance(item, list | tuple) and not isinstance(item, Storage):
        return list(enumerate(item))
    return []


def _unread(tensor: Tensor) -> Unread:
    return Unread(tensor.shape, tensor.dtype, tensor.reason)


def _repeats(tensor: Tensor, nbytes: int) -> bool:
    """Tell whether it is expanded: so a small file can describe a matrix of any size."""
    return math.prod(tensor.shape) * numpy_dtype(tensor.dtype).itemsize > nbytes


def _begin(tensor: Tensor) -> int:
    """The byte of the storage at which a tensor begins."""
    assert tensor.storage is not None
    first = tensor.storage.first * numpy_dtype(tensor.storage.dtype).itemsize
    return int(first + tensor.offset * numpy_dtype(tensor.dtype).itemsize)


def _reach(tensor: Tensor, nbytes: int) -> int:
    """Count the elements that a tensor reaches over; require that the storage holds them."""
    reach = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True)) + 1
    if _begin(tensor) + reach * numpy_dtype(tensor.dtype).itemsize > nbytes:
        raise UnreadableFile("a tensor reaches beyond its storage")
    return reach


def _is_dense(tensor: Tensor) -> bool:
    step = 1
    for n, s in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if n != 1 and s != step:
            return False
        step *= n
    return True


def _located(tensor: Tensor, nbytes: int, dense: Callable[[int], Values]) -> Values:
    """The values of a tensor in a storage of so many bytes.

    Args:
        tensor: The tensor.
        nbytes: Of the storage.
        dense: From a number of elements to the values that begin where the tensor does.
    """
    if 0 in tensor.shape:
        return Held(np.empty(tensor.shape, numpy_dtype(tensor.dtype)))
    reach = _reach(tensor, nbytes)
    if _repeats(tensor, nbytes):
        reason = "its numbers are repeated beyond its storage"
        return Unread(tensor.shape, tensor.dtype, reason)
    return Strided(dense(reach), tensor.shape, tensor.strides)


def _mapped(path: Path, begin: int, nbytes: int, tensor: Tensor) -> Values:
    found = _located(
        tensor, nbytes, lambda n: Mapped(path, begin + _begin(tensor), (n,), tensor.dtype)
    )
    if isinstance(found, Strided) and _is_dense(tensor):
        return Mapped(path, begin + _begin(tensor), tensor.shape, tensor.dtype)
    return found


def _inflated(data: bytes, tensor: Tensor) -> Values:
    dtype = numpy_dtype(tensor.dtype)
    return _located(
        tensor, len(data), lambda n: Held(np.frombuffer(data, dtype, n, _begin(tensor)))
    )
