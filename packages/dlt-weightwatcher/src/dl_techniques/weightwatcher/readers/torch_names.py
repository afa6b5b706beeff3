"""The names that a pickle of PyTorch may use, and what stands for them here.

They are those of `torch.load(weights_only=True)`. Nothing of PyTorch is called: tensors become
descriptions, and what is no tensor becomes a plain value or a mark.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any, Final

import numpy as np

from dl_techniques.weightwatcher.readers.scaled import Scaled
from dl_techniques.weightwatcher.readers.torch_storage import Storage, StorageView
from dl_techniques.weightwatcher.readers.values import Held, Values
from dl_techniques.weightwatcher.readers.weight import SourceError

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
_DTYPES: Final = frozenset(
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


class Tensor:
    """A tensor as the pickle describes it.

    Args:
        storage: Its numbers.
        offset: The first of them.
        shape: The shape.
        strides: How far apart numbers are along each axis.
        dtype: Their type; by default that of the storage.
    """

    def __init__(
        self, storage: Any, offset: Any, shape: Any, strides: Any, dtype: Any = None
    ) -> None:
        if not isinstance(storage, Storage | StorageView) or type(offset) is not int:
            raise SourceError("a tensor without a storage")
        self._storage, self._offset = storage, offset
        self.shape, self._strides = tuple(shape), tuple(strides)
        self._dtype = dtype if isinstance(dtype, str) else None
        numbers = (*self.shape, *self._strides)
        if not all(type(n) is int and n >= 0 for n in numbers) or len(numbers) % 2:
            raise SourceError("a tensor whose sizes are no natural numbers")

    @property
    def dtype(self) -> str:
        """The name of the type."""
        return self._dtype or self._storage.dtype

    def values(self) -> Values:
        """Return where the numbers are."""
        return self._storage.part(self._offset, self.shape, self._strides, self._dtype)


class QuantizedTensor(Tensor):
    """A tensor of torch.quantize_per_tensor or torch.quantize_per_channel.

    Args:
        storage: Its codes.
        offset: The first of them.
        shape: The shape.
        strides: How far apart codes are along each axis.
        quantizer: The scheme, then scale and zero point, and the axis they run along.
    """

    def __init__(self, storage: Any, offset: Any, shape: Any, strides: Any, quantizer: Any) -> None:
        super().__init__(storage, offset, shape, strides)
        self._quantizer = tuple(quantizer)

    def values(self) -> Values:
        """The numbers that the codes stand for."""
        codes = super().values()
        scheme, *rest = self._quantizer
        if str(scheme).startswith("per_tensor"):
            scale, zero = (Held(np.asarray(float(number))) for number in rest[:2])
            return Scaled(codes, scale, zero=zero)
        if len(rest) != 3 or not all(isinstance(part, Tensor) for part in rest[:2]):
            raise ValueError("quantized in a way that is not read")
        scale, zero = (part.values() for part in rest[:2])
        return Scaled(codes, scale, axes=(int(rest[2]),), zero=zero)


class Unread:
    """A tensor whose numbers cannot be read.

    Args:
        reason: Why.
        shape: Its shape, if that is known.
    """

    dtype = "unknown"

    def __init__(self, reason: str, shape: Any = ()) -> None:
        self.reason = reason
        self.shape = tuple(n for n in shape if type(n) is int)

    def values(self) -> Values:
        """There are none."""
        raise ValueError(self.reason)


def _rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    return Tensor(storage, offset, shape, strides)


def _rebuild_typed(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    """The third version names the type, its storage being bytes."""
    return Tensor(storage, offset, shape, strides, rest[2] if len(rest) > 2 else None)


def _rebuild_quantized(
    storage: Any, offset: Any, shape: Any, strides: Any, quantizer: Any, *_: Any
) -> Tensor:
    return QuantizedTensor(storage, offset, shape, strides, quantizer)


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _rebuild_meta(dtype: Any, size: Any, *_: Any) -> Unread:
    del dtype
    return Unread("it has no numbers: it is on the meta device", size)


def _rebuild_sparse(*_: Any) -> Unread:
    return Unread("sparse tensors are not read")


def _rebuild_other(*_: Any) -> Unread:
    return Unread("a tensor of a kind that is not read")


_REBUILDERS: Final = {
    "_rebuild_tensor": _rebuild,
    "_rebuild_tensor_v2": _rebuild,
    "_rebuild_tensor_v3": _rebuild_typed,
    "_rebuild_qtensor": _rebuild_quantized,
    "_rebuild_parameter": _rebuild_parameter,
    "_rebuild_parameter_with_state": _rebuild_parameter,
    "_rebuild_meta_tensor_no_storage": _rebuild_meta,
    "_rebuild_sparse_tensor": _rebuild_sparse,
    "_rebuild_device_tensor_from_numpy": _rebuild_other,
    "_rebuild_device_tensor_from_cpu_tensor": _rebuild_other,
    "_rebuild_nested_tensor": _rebuild_other,
    "_rebuild_wrapper_subclass": _rebuild_other,
}


def _rebuild_from_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A subclass of a tensor, or one with attributes: its numbers are those of the tensor."""
    del kind, state
    if function not in _REBUILDERS.values():
        raise SourceError("a tensor that nothing known makes")
    return function(*arguments)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Bytes, as the second version of pickles writes them."""
    if encoding != "latin1":
        raise SourceError(f"text in {encoding!r}")
    return str(text).encode("latin1")


def _bytes(*arguments: Any) -> bytearray:
    """No bytes of a length that a number says: that would be memory for nothing."""
    if arguments and isinstance(arguments[0], int):
        raise SourceError("bytes without content")
    return bytearray(*arguments)


def _mark(*_: Any) -> None:
    """Values that are not tensors and do not describe one."""


ALLOWED: Final[dict[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "Counter"): Counter,
    ("torch", "Size"): tuple,
    ("torch", "device"): _mark,
    ("torch", "Tensor"): _mark,
    ("torch.serialization", "_get_layout"): _mark,
    ("torch.nn.parameter", "Parameter"): _rebuild_parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("_codecs", "encode"): _encode,
    ("builtins", "bytearray"): _bytes,
    ("builtins", "set"): set,
    ("builtins", "complex"): complex,
    ("__builtin__", "bytearray"): _bytes,
    ("__builtin__", "set"): set,
    ("__builtin__", "complex"): complex,
    **{("torch._utils", name): function for name, function in _REBUILDERS.items()},
    **{(m, n): dtype for n, dtype in _STORAGES.items() for m in ("torch", "torch.cuda")},
    ("torch.storage", "UntypedStorage"): "uint8",
    ("torch.storage", "TypedStorage"): "uint8",
    **{("torch", name): name for name in (*_DTYPES, *_ODD_DTYPES, *_SCHEMES)},
}
