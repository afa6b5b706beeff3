"""Quantized weights of torch's formats: which scale belongs to which, and how it is laid out.

Each format is known by the names that it writes. Other tensors are accounted for and not
analysed; nothing is guessed from sizes alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from dl_techniques.weightwatcher.joins.packed import join_packed
from dl_techniques.weightwatcher.joins.tensors import Tensors
from dl_techniques.weightwatcher.readers.scaled import Scaled
from dl_techniques.weightwatcher.readers.values import Values

_INT8_PEAK: Final = 127
_FP8_BLOCK: Final = (128, 128)
_GROUPS: Final = (16, 32, 64, 128, 256)
_SCALES: Final = re.compile(
    r"^(?P<stem>.+?)(?P<end>_scale_inv|\.scale_inv|_scales?|\.scales?|\.SCB|\._scale)$"
)
_ZEROS: Final = ("_zero_point", ".zero_point", "_zeros", ".zeros", "_zero")
# Names that mark a layer's numbers as indices, or as bits packed in words.
_CODES: Final = {
    "qweight": "packed as GPTQ or AWQ does it",
    "weight_packed": "packed as compressed-tensors does it",
    "codebooks": "quantized with codebooks (AQLM)",
    "centroids": "quantized with codebooks (VPTQ)",
    "Qidxs": "quantized with a codebook (QuIP#)",
    "W_q": "packed as HQQ does it",
    "trellis": "quantized with a trellis",
}


def join_scales(tensors: Tensors, architecture: Mapping[str, Any]) -> None:
    """Replace quantized weights by the numbers that they stand for.

    Args:
        tensors: The tensors; changed in place.
        architecture: Facts from the model's configuration; see `architecture_of`.
    """
    _leave_out_codes(tensors)
    join_packed(tensors)
    for name in list(tensors.values):
        match = _SCALES.match(name)
        if match is None or name not in tensors.values:
            continue
        owner = _owner(tensors, match["stem"])
        if owner is not None:
            _join(tensors, owner, name, match["end"], architecture)


def _leave_out_codes(tensors: Tensors) -> None:
    for name in list(tensors.values):
        stem, dot, leaf = name.rpartition(".")
        if leaf not in _CODES or name not in tensors.values:
            continue
        prefix = f"{stem}{dot}"
        for part in list(tensors.values):
            inside = part.startswith(prefix) and "." not in part[len(prefix) :]
            if inside and not part.endswith(("bias", "lora_A", "lora_B")):
                tensors.take(part, _CODES[leaf])


def _owner(tensors: Tensors, stem: str) -> str | None:
    """The quantized weight that a scale belongs to."""
    names = (stem, f"{stem}.weight", f"{stem}._data", f"{stem}.kernel")
    for name in names:
        value = tensors.values.get(name)
        if value is not None and _is_quantized(value):
            return name
    return None


def _is_quantized(value: Values) -> bool:
    return value.dtype.startswith(("int8", "uint8", "float8")) and not isinstance(value, Scaled)


def _join(
    tensors: Tensors, owner: str, name: str, end: str, architecture: Mapping[str, Any]
) -> None:
    weight, scale = tensors.values[owner], tensors.values[name]
    zero = next((f"{owner}{z}" for z in _ZEROS if f"{owner}{z}" in tensors.values), None)
    tensors.take(name, f"the scale of {owner}")
    offset = tensors.take(zero, f"the zero point of {owner}") if zero is not None else None
    weight_format = tensors.values.get(f"{owner}_format")
    try:
        if weight_format is not None and _number(weight_format) != 0:
            raise ValueError("stored in an order of its own (weight_format)")
        tensors.values[owner] = _scaled(owner, weight, scale, offset, end, architecture)
    # One odd tensor is one skipped row.
    except ValueError as error:
        tensors.take(owner, f"quantized: {error}")


def _number(values: Values) -> int:
    array = values.read()
    return int(array.reshape(())) if array.size == 1 else -1


def _scaled(
    owner: str,
    weight: Values,
    scale: Values,
    zero: Values | None,
    end: str,
    architecture: Mapping[str, Any],
) -> Values:
    if weight.dtype == "uint8" and zero is None:
        raise ValueError("bytes without a zero point are packed")
    if scale.dtype.startswith(("int", "uint")):
        raise ValueError("its scale has whole numbers, which no known format explains")
    leaf = owner.replace("/", ".").rpartition(".")[2]
    rows: tuple[int, ...] | None = (0,) if len(scale.shape) == 1 and scale.shape != (1,) else None
    if end == ".SCB":
        return Scaled(weight, scale, axes=(0,), factor=1 / _INT8_PEAK)
    if leaf in {"kernel", "embeddings"}:  # Keras divides
        axis = 0 if leaf == "embeddings" else len(weight.shape) - 1
        return Scaled(weight, scale, divide=True, axes=(axis,) if rows else None)
    if leaf == "weight" and end == "_scales" and rows:  # EETQ keeps (in, out)
        return Scaled(weight, scale, axes=(len(weight.shape) - 1,))
    if len(weight.shape) == len(scale.shape) == 2:
        block = _block(weight, scale, end, architecture)
        if block is not None:
            return Scaled(weight, scale, blocks=block, zero=zero)
    return Scaled(weight, scale, axes=rows, zero=zero)


def _block(
    weight: Values, scale: Values, end: str, architecture: Mapping[str, Any]
) -> tuple[int, int] | None:
    """Return how many rows and columns share a number in the format; None for whole ones."""
    (n, m), (s, t) = weight.shape, scale.shape
    if s in (1, n) and t in (1, m) and not end.endswith("inv"):
        return None
    stated = architecture.get("block")
    if end.endswith("inv"):  # DeepSeek's FP8: squares of 128, the last ones cut
        return stated or _FP8_BLOCK
    if stated is not None:
        return (int(stated[0]), int(stated[1]))
    for size in _GROUPS:
        if s == n and -(-m // size) == t:
            return (1, size)
        if (s, t) == (-(-n // size), -(-m // size)):
            return (size, size)
    if n % s == 0 and m % t == 0:
        return (n // s, m // t)
    raise ValueError(f"a scale of shape {scale.shape} does not fit values of {weight.shape}")
