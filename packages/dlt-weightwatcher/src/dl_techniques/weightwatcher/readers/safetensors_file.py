"""Weights of safetensors files: a JSON header, then raw bytes, which are memory-mapped."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

from dl_techniques.weights.readers.limits import fault_of_shape, shown
from dl_techniques.weightwatcher.readers.values import Mapped, Values, numpy_dtype
from dl_techniques.weightwatcher.readers.weight import Skipped, SourceError

_DTYPES: Final = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
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
_HEADER_LIMIT: Final = 100_000_000


def read_safetensors(path: Path) -> tuple[dict[str, Values], list[Skipped]]:
    """Name -> values of a file, in the order of the file.

    Args:
        path: The file.

    Raises:
        SourceError: If the header is damaged or a tensor lies outside the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _HEADER_LIMIT):
            raise SourceError(f"{path} is no safetensors file, or is cut off.")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{path} has a damaged header: {error}") from error
    if not isinstance(header, dict):
        raise SourceError(f"{path} has a damaged header: it is no object.")
    values: dict[str, Values] = {}
    skipped: list[Skipped] = []
    start = 8 + length
    for name, record in header.items():
        if name == "__metadata__":
            continue
        shape, code, first, last = _parts(path, name, record)
        fault = fault_of_shape(shape)
        if fault is not None:
            skipped.append(Skipped(name, shown(shape), code, fault))
            continue
        if code not in _DTYPES:
            skipped.append(Skipped(name, shape, code, f"values of the type {code} are not read"))
            continue
        nbytes = math.prod(shape) * numpy_dtype(_DTYPES[code]).itemsize
        if last - first != nbytes or start + last > size:
            raise SourceError(f"{path}: {name} lies outside the file or has a wrong size.")
        values[name] = Mapped(path, start + first, shape, _DTYPES[code])
    return values, skipped


def _parts(path: Path, name: str, record: Any) -> tuple[tuple[int, ...], str, int, int]:
    try:
        shape, (first, last) = tuple(record["shape"]), record["data_offsets"]
        numbers = [*shape, first, last]
        if not all(type(n) is int and n >= 0 for n in numbers):
            raise TypeError("sizes are not natural numbers")
        return shape, str(record["dtype"]), first, last
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{path}: the entry of {name!r} is damaged: {error}") from error
