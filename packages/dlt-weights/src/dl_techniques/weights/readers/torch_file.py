"""Weights of PyTorch's .pt, .pth, .ckpt and .bin files, without PyTorch; no pickle is run.

Since PyTorch 1.6 such a file is a zip archive: one pickle that describes tensors, and their
storages as members. Before, it was a stream of five pickles followed by the storages. Storages
are memory-mapped in both.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from dl_techniques.core.text import short_repr
from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers.pickle_machine import PickleMachine, Stub
from dl_techniques.weights.readers.values import (
    Held,
    Mapped,
    Strided,
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
_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_PICKLE_LIMIT: Final = 1 << 28
_NESTING: Final = 12
_VISITS: Final = 100_000
_MODULE_PARTS: Final = ("_parameters", "_buffers", "_modules")


class _Call(NamedTuple):
    """A name that a state dict is made of, and what becomes of a call of it."""

    name: str
    make: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        return self.make(*arguments)


class _Storage(NamedTuple):
    """A storage by its key; where its bytes are is known only after the pickle was read."""

    key: str
    dtype: str


class _Tensor(NamedTuple):
    """A tensor as the pickle describes it."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or type(offset) is not int or offset < 0:
        raise UnreadableFile("a tensor has no storage")
    found = _Tensor(storage, offset, require_shape(shape), require_shape(strides))
    if len(found.shape) != len(found.strides):
        raise UnreadableFile("a tensor has not one stride an axis")
    return found


def _ordered(*items: Any) -> dict[Any, Any]:
    if items and items[0]:
        raise UnreadableFile("an OrderedDict is made of something else than items")
    return {}


_NAMES: Final[dict[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): _Call("OrderedDict", _ordered),
    ("torch._utils", "_rebuild_tensor_v2"): _Call("tensor", _rebuild),
    ("torch._utils", "_rebuild_parameter"): _Call("parameter", lambda tensor, *_: tensor),
    ("torch", "Size"): _Call("Size", lambda sizes=(): tuple(sizes)),
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    **{("torch", name): name for name in _DTYPES},
}


def _storage(pid: Any) -> Any:
    parts = pid if isinstance(pid, tuple) and len(pid) >= 3 else (None, None, None)
    kind, dtype, key = parts[:3]
    if kind == "module":  # a class of a legacy stream, with its source code
        return dtype
    if kind != "storage" or not isinstance(dtype, str) or dtype not in _DTYPES:
        raise UnreadableFile("a pickle refers to something that is no storage")
    return _Storage(str(key), dtype)


def read_torch(path: Path, *, allow_stubs: bool = False) -> dict[str, Values]:
    """Name -> values of a checkpoint: a state dict, or dictionaries and modules that hold some.

    Args:
        path: The file.
        allow_stubs: Whether classes that a state dict has no need of are read as inert records,
            in whose `_parameters`, `_buffers` and `_modules` tensors are looked for.

    Raises:
        UnreadableFile: If it is damaged, is no checkpoint, or names anything beyond tensors.
    """
    with path.open("rb") as file:
        start = file.read(4)
    read = _read_zip if start[:2] == b"PK" else _read_legacy
    try:
        tensors, place = read(path, allow_stubs)
        return {name: place(tensor) for name, tensor in tensors.items()}
    except UnreadableFile as error:
        if str(error).startswith(str(path)):
            raise
        raise UnreadableFile(f"{path} cannot be read: {error}.") from error


_Read = tuple[dict[str, _Tensor], Callable[[_Tensor], Values]]


def _read_zip(path: Path, allow_stubs: bool) -> _Read:
    with opened_zip(path) as members:
        name = next((n for n in members if n.endswith("/data.pkl") or n == "data.pkl"), None)
        if name is None:
            raise UnreadableFile("it holds no data.pkl, so it is no checkpoint of PyTorch")
        prefix = name.removesuffix("data.pkl")
        if f"{prefix}constants.pkl" in members:
            raise UnreadableFile("it is a TorchScript program; pass its state dict")
        order = members.get(f"{prefix}byteorder")
        if order is not None and read_member(path, order, 16).strip() != b"little":
            raise UnreadableFile("its numbers are big-endian")
        data = memoryview(read_member(path, members[name], _PICKLE_LIMIT))
        content = PickleMachine(data, 0, _NAMES, _storage, allow_stubs=allow_stubs).load()

        def place(tensor: _Tensor) -> Values:
            info = members.get(f"{prefix}data/{tensor.storage.key}")
            if info is None:
                raise UnreadableFile(f"it lacks the storage {short_repr(tensor.storage.key)}")
            if is_stored(info):
                return _mapped(path, data_offset(path, info), info.file_size, tensor)
            return _part(Held(_flat(read_member(path, info, 1 << 40), tensor)), tensor)

        return _collected(content), place


def _read_legacy(path: Path, allow_stubs: bool) -> _Read:
    if not path.stat().st_size:
        raise UnreadableFile("it is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        data = memoryview(mapped)
        try:
            return _read_stream(path, data, allow_stubs)
        finally:
            data.release()


def _read_stream(path: Path, data: memoryview, allow_stubs: bool) -> _Read:
    position, parts = 0, []
    for index in range(5):
        machine = PickleMachine(data, position, _NAMES, _storage, allow_stubs=allow_stubs)
        try:
            parts.append(machine.load())
        except UnreadableFile as error:
            if index == 0:
                raise UnreadableFile("it is neither a zip archive nor a pickle stream") from error
            raise
        position = machine.position
        if index == 0 and parts[0] != _MAGIC:
            raise UnreadableFile("it is no checkpoint of PyTorch: the magic number is missing")
    _, protocol, system, content, keys = parts
    little = system.get("little_endian", True) if isinstance(system, dict) else None
    if protocol != _PROTOCOL or little is not True or not isinstance(keys, list):
        raise UnreadableFile("its header is not that of a little-endian checkpoint")
    tensors = _collected(content)
    places = _places(data, position, list(map(str, keys)), tensors)

    def place(tensor: _Tensor) -> Values:
        if tensor.storage.key not in places:
            raise UnreadableFile(f"it lacks the storage {short_repr(tensor.storage.key)}")
        return _mapped(path, *places[tensor.storage.key], tensor)

    return tensors, place


def _places(
    data: memoryview, position: int, keys: list[str], tensors: Mapping[str, _Tensor]
) -> dict[str, tuple[int, int]]:
    """Return where each storage begins, and how many bytes it has: they follow the pickles."""
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in dtypes:
            raise UnreadableFile("it has a storage that no tensor uses")
        count = int.from_bytes(data[position : position + 8], "little")
        nbytes = count * numpy_dtype(dtypes[key]).itemsize
        position += 8
        if position + nbytes > len(data):
            raise UnreadableFile("it is cut off")
        places[key] = (position, nbytes)
        position += nbytes
    return places


def _collected(content: Any) -> dict[str, _Tensor]:
    """All tensors by their path; containers may share parts, which must not multiply the work."""
    found: dict[str, _Tensor] = {}
    pending: list[tuple[str, Any, int]] = [("", content, 0)]
    visits = 0
    while pending:
        name, item, depth = pending.pop()
        visits += 1
        if visits > _VISITS or depth > _NESTING:
            raise UnreadableFile("it is nested too deep or holds too much")
        if isinstance(item, _Tensor):
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
        inner = [state[part] for part in _MODULE_PARTS if isinstance(state.get(part), Mapping)]
        return [pair for part in inner for pair in part.items()] + list(item.items.items())
    if isinstance(item, Mapping):
        return list(item.items())
    if isinstance(item, list | tuple) and not isinstance(item, _Storage):
        return list(enumerate(item))
    return []


def _extent(tensor: _Tensor, nbytes: int) -> int:
    """Return the span of a tensor in elements, after a check against the storage."""
    itemsize = numpy_dtype(tensor.storage.dtype).itemsize
    reach = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True)) + 1
    if (tensor.offset + reach) * itemsize > nbytes:
        raise UnreadableFile("a tensor reaches beyond its storage")
    if math.prod(tensor.shape) * itemsize > nbytes:
        # Expanded: a small file can so describe a matrix of any size.
        raise UnreadableFile("a tensor repeats its numbers beyond its storage")
    return reach


def _is_dense(tensor: _Tensor) -> bool:
    step = 1
    for n, s in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if n != 1 and s != step:
            return False
        step *= n
    return True


def _mapped(path: Path, begin: int, nbytes: int, tensor: _Tensor) -> Values:
    dtype = tensor.storage.dtype
    if 0 in tensor.shape:
        return Held(np.empty(tensor.shape, numpy_dtype(dtype)))
    reach = _extent(tensor, nbytes)
    begin += tensor.offset * numpy_dtype(dtype).itemsize
    if _is_dense(tensor):
        return Mapped(path, begin, tensor.shape, dtype)
    return Strided(Mapped(path, begin, (reach,), dtype), tensor.shape, tensor.strides)


def _flat(data: bytes, tensor: _Tensor) -> Any:
    dtype = numpy_dtype(tensor.storage.dtype)
    return np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype)


def _part(storage: Held, tensor: _Tensor) -> Values:
    if 0 in tensor.shape:
        return Held(np.empty(tensor.shape, storage.array.dtype))
    reach = _extent(tensor, storage.array.nbytes)
    inner = Held(storage.array[tensor.offset : tensor.offset + reach])
    return Strided(inner, tensor.shape, tensor.strides)
