"""Weights of safetensors files: a JSON header, then raw bytes, which are memory-mapped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dl_techniques.core.atomic_write import replacing
from dl_techniques.core.strict_json import StrictJSONError, parse
from dl_techniques.core.text import short_repr
from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weights.readers.limits import fault_of_shape, shown
from dl_techniques.weights.readers.values import (
    Array,
    Mapped,
    Unread,
    Values,
    numpy_dtype,
    require_shape,
)

_DTYPES: Final = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
_CODES: Final = {name: code for code, name in _DTYPES.items()}
_HEADER_LIMIT: Final = 100_000_000
_TOKENS: Final = 20_000_000
_ALIGNMENT: Final = 8


def read_safetensors(path: Path) -> dict[str, Values]:
    """Name -> values of a file, in the order of the file.

    Tensors of a type that is not known are listed, and cannot be read.

    Args:
        path: The file.

    Raises:
        UnreadableFile: If the header is damaged, or tensors overlap or lie outside the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _HEADER_LIMIT):
            raise UnreadableFile(f"{path} is no safetensors file, or is cut off.")
        text = file.read(length)
    try:
        header = parse(text, tokens=_TOKENS, depth=4)
    except StrictJSONError as error:
        raise UnreadableFile(f"{path} has a damaged header: it {error}.") from error
    if not isinstance(header, dict):
        raise UnreadableFile(f"{path} has a damaged header: it is no object.")
    header.pop("__metadata__", None)
    values = {name: _mapped(path, name, row, 8 + length, size) for name, row in header.items()}
    end = 0
    known = [mapped for mapped in values.values() if isinstance(mapped, Mapped)]
    for mapped in sorted(known, key=lambda mapped: (mapped.offset, mapped.nbytes)):
        if mapped.offset < end:
            raise UnreadableFile(f"{path} has tensors that overlap.")
        end = mapped.offset + mapped.nbytes
    return dict(values)


def _mapped(path: Path, name: str, row: Any, start: int, size: int) -> Mapped | Unread:
    try:
        stated, (first, last) = tuple(row["shape"]), require_shape(row["data_offsets"])
        code = str(row["dtype"])
        fault = fault_of_shape(stated)
        if fault is not None:
            return Unread(shown(stated), code, fault)
        shape = require_shape(stated)
        if code not in _DTYPES:
            return Unread(shape, code, f"values of the type {code} are not read")
        dtype = _DTYPES[code]
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableFile(f"{path}: the entry {short_repr(name)} is damaged.") from error
    nbytes = math.prod(shape) * numpy_dtype(dtype).itemsize
    if last - first != nbytes or start + last > size:
        raise UnreadableFile(
            f"{path}: {short_repr(name)} lies outside the file or has a wrong size."
        )
    return Mapped(path, start + first, shape, dtype)


def write_safetensors(
    path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a file, atomically.

    Args:
        path: The file.
        arrays: Name -> array, written in this order.
        metadata: Texts for the header.

    Raises:
        ValueError: If the format has no code for a dtype.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, array in arrays.items():
        if array.dtype.name not in _CODES:
            raise ValueError(f"{name} has the dtype {array.dtype}, which safetensors has not.")
        offsets = [offset, offset + array.nbytes]
        header[name] = {
            "dtype": _CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": offsets,
        }
        offset = offsets[1]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNMENT)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.tobytes())
