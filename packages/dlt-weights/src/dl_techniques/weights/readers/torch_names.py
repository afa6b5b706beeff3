"""The names that a pickle of PyTorch may use, and what stands for them here.

They are those of `torch.load(weights_only=True)`. Nothing of PyTorch is called: tensors become
descriptions, and what is no tensor becomes a plain value or a mark.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers.limits import fault_of_shape, shown
from dl_techniques.weights.readers.values import require_shape

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
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "int8",
    "QUInt8Storage": "uint8",
    "QInt32Storage": "int32",
    "UntypedStorage": "uint8",
}
DTYPES: Final = frozenset(
    {
        *_STORAGES.values(),
        *("uint16", "uint32", "uint64"),
        *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
    }
)
_ODD_DTYPES: Final = (
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)),
    *("complex32", "float4_e2m1fn_x2", "qint8", "quint8", "qint32", "quint4x2", "quint2x4"),
)
_SCHEMES: Final = (
    "per_tensor_affine",
    "per_tensor_symmetric",
    "per_channel_affine",
    "per_channel_symmetric",
    "per_channel_affine_float_qparams",
)


class Storage(NamedTuple):
    """A storage by its key; where its bytes are is known only after the pickle was read."""

    key: str
    dtype: str
    first: int = 0
    """The number that it begins with, if it is a view of another."""


class Tensor(NamedTuple):
    """A tensor as the pickle describes it."""

    storage: Storage | None
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    quantizer: tuple[Any, ...] = ()
    """The scheme, then scale and zero point, and the axis that they run along."""
    reason: str = ""
    """Why its numbers cannot be read, if they cannot."""


class _Call(NamedTuple):
    """A name that a state dict is made of, and what becomes of a call of it."""

    make: Callable[..., Any]
    rebuilds: bool = False
    """Whether a subclass of a tensor may be made by it."""

    def __call__(self, *arguments: Any) -> Any:
        return self.make(*arguments)


def _rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    return _tensor(storage, offset, shape, strides)


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, dtype: Any = None, quantizer: Any = ()
) -> Tensor:
    if not isinstance(storage, Storage) or type(offset) is not int or offset < 0:
        raise UnreadableFile("a tensor has no storage")
    fault = fault_of_shape(tuple(shape))
    kind = dtype if isinstance(dtype, str) else storage.dtype
    if fault is not None:
        return Tensor(None, 0, shown(tuple(shape)), (), kind, (), fault)
    reason = "" if kind in DTYPES else f"values of the type {kind} are not read"
    found = Tensor(
        *(storage, offset, require_shape(shape), require_shape(strides), kind),
        tuple(quantizer),
        reason,
    )
    if len(found.shape) != len(found.strides):
        raise UnreadableFile("a tensor has not one stride an axis")
    return found


def _rebuild_typed(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    """The third version names the type, its storage being bytes."""
    return _tensor(storage, offset, shape, strides, rest[2] if len(rest) > 2 else None)


def _rebuild_quantized(
    storage: Any, offset: Any, shape: Any, strides: Any, quantizer: Any, *_: Any
) -> Tensor:
    if not isinstance(quantizer, tuple | list) or not quantizer:
        raise UnreadableFile("a tensor is quantized, and nothing says how")
    return _tensor(storage, offset, shape, strides, None, quantizer)


def _rebuild_meta(dtype: Any, size: Any = (), *_: Any) -> Tensor:
    del dtype
    return _unread("it has no numbers: it is on the meta device", size)


def _unread(reason: str, shape: Any = ()) -> Tensor:
    sizes = tuple(n for n in shape if type(n) is int)
    return Tensor(None, 0, shown(sizes), (), "unknown", (), reason)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _sparse(*_: Any) -> Tensor:
    return _unread("sparse tensors are not read")


def _other(*_: Any) -> Tensor:
    return _unread("a tensor of a kind that is not read")


def _rebuild_from_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A subclass of a tensor, or one with attributes: its numbers are those of the tensor."""
    del kind, state
    if not isinstance(function, _Call) or not function.rebuilds:
        raise UnreadableFile("a tensor that nothing known makes")
    return function(*arguments)


def _ordered(*items: Any) -> dict[Any, Any]:
    if items and items[0]:
        raise UnreadableFile("an OrderedDict is made of something else than items")
    return {}


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Bytes, as the second version of pickles writes them."""
    if encoding != "latin1":
        raise UnreadableFile("text in an encoding that is not read")
    return str(text).encode("latin1")


def _bytes(*arguments: Any) -> bytes:
    """No bytes of a length that a number says: that would be memory for nothing."""
    if arguments and not isinstance(arguments[0], bytes | str | list | tuple):
        raise UnreadableFile("bytes without content")
    text = arguments[0] if arguments else b""
    return text.encode("latin1") if isinstance(text, str) else bytes(text)


def _mark(*_: Any) -> None:
    """An object that is not a tensor and says nothing about one."""


_REBUILDERS: Final[dict[str, Callable[..., Any]]] = {
    "_rebuild_tensor": _rebuild,
    "_rebuild_tensor_v2": _rebuild,
    "_rebuild_tensor_v3": _rebuild_typed,
    "_rebuild_qtensor": _rebuild_quantized,
    "_rebuild_parameter": _parameter,
    "_rebuild_parameter_with_state": _parameter,
    "_rebuild_meta_tensor_no_storage": _rebuild_meta,
    "_rebuild_sparse_tensor": _sparse,
    "_rebuild_device_tensor_from_numpy": _other,
    "_rebuild_device_tensor_from_cpu_tensor": _other,
    "_rebuild_nested_tensor": _other,
    "_rebuild_wrapper_subclass": _other,
}
_PLAIN: Final[dict[str, Callable[..., Any]]] = {
    "bytearray": _bytes,
    "set": lambda items=(): list(items),
    "complex": lambda *parts: complex(*(float(part) for part in parts)),
}
NAMES: Final[dict[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): _Call(_ordered),
    ("collections", "Counter"): _Call(lambda items=(): dict(items)),
    ("torch", "Size"): _Call(lambda sizes=(): tuple(sizes)),
    ("torch", "device"): _Call(_mark),
    ("torch", "Tensor"): _Call(_mark),
    ("torch.serialization", "_get_layout"): _Call(_mark),
    ("torch.nn.parameter", "Parameter"): _Call(_parameter),
    ("torch._tensor", "_rebuild_from_type_v2"): _Call(_rebuild_from_type),
    ("_codecs", "encode"): _Call(_encode),
    **{(m, n): _Call(f) for n, f in _PLAIN.items() for m in ("builtins", "__builtin__")},
    **{("torch._utils", name): _Call(make, True) for name, make in _REBUILDERS.items()},
    **{(m, n): dtype for n, dtype in _STORAGES.items() for m in ("torch", "torch.cuda")},
    ("torch.storage", "UntypedStorage"): "uint8",
    ("torch.storage", "TypedStorage"): "uint8",
    **{("torch", name): name for name in (*DTYPES, *_ODD_DTYPES, *_SCHEMES)},
}


def storage_of(pid: Any) -> Any:
    """Resolve a persistent identifier.

    Args:
        pid: As the pickle has it: kind, type, key, device, count, and the view, if it is one.

    Raises:
        UnreadableFile: If it is no storage.
    """
    parts = pid if isinstance(pid, tuple) and len(pid) >= 3 else (None, None, None)
    kind, dtype, key = parts[:3]
    if kind == "module":  # a class of a legacy stream, with its source code
        return dtype
    if kind != "storage" or not isinstance(dtype, str) or dtype not in DTYPES:
        raise UnreadableFile("a pickle refers to something that is no storage")
    view = parts[5] if len(parts) > 5 else None
    if view is None:
        return Storage(str(key), dtype)
    first = view[1] if isinstance(view, tuple) and len(view) == 3 else None
    if type(first) is not int or first < 0:
        raise UnreadableFile("a view of a storage that is no part of it")
    return Storage(str(key), dtype, first)
