"""Four-bit weights of known formats: bitsandbytes' NF4 and FP4, and MXFP4."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any, Final

import numpy as np

from dl_techniques.weightwatcher.joins.tensors import Tensors
from dl_techniques.weightwatcher.readers.array import Array
from dl_techniques.weightwatcher.readers.computed import Computed

_STATE: Final = ".quant_state.bitsandbytes__"
_STATE_LIMIT: Final = 1 << 16
# The sixteen numbers of four bits with two of exponent: sign, exponent, mantissa.
_E2M1: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_MX_BIAS: Final = 127


def join_packed(tensors: Tensors) -> None:
    """Replace packed weights by the numbers that they stand for.

    Args:
        tensors: The tensors; changed in place.
    """
    for name in list(tensors.values):
        if _STATE in name and name in tensors.values:
            _join_four_bits(tensors, name)
        elif name.endswith("_blocks") and f"{name[:-7]}_scales" in tensors.values:
            _join_microscaled(tensors, name[:-7])


def _join_four_bits(tensors: Tensors, state: str) -> None:
    """bitsandbytes: indices into a table, times the largest number of each block."""
    owner = state.partition(_STATE)[0]
    parts = {name for name in tensors.values if name.startswith(f"{owner}.")}
    try:
        values = _four_bits(tensors, owner, state)
    except (ValueError, KeyError, TypeError) as error:
        values = None
        fault = f"packed by bitsandbytes, and not explained: {error}"
        if owner in tensors.values:
            tensors.take(owner, fault)
    for name in sorted(parts):
        tensors.take(name, f"how {owner} is quantized")
    if values is not None:
        tensors.values[owner] = values


def _four_bits(tensors: Tensors, owner: str, state: str) -> Computed:
    text = tensors.values[state]
    if text.dtype != "uint8" or math.prod(text.shape) > _STATE_LIMIT:
        raise ValueError("its state is no text")
    facts: dict[str, Any] = json.loads(text.read().tobytes().decode("utf-8"))
    shape = tuple(int(n) for n in facts["shape"])
    block = int(facts["blocksize"])
    codes, absmax = tensors.values[owner], tensors.values[f"{owner}.absmax"]
    table = tensors.values[f"{owner}.quant_map"]
    count = math.prod(shape)
    fits = codes.dtype == "uint8" and 2 * math.prod(codes.shape) in (count, count + 1)
    if (
        not fits
        or block < 1
        or table.shape != (16,)
        or math.prod(absmax.shape) != -(-count // block)
    ):
        raise ValueError("its parts do not fit")
    parts = [codes, table, absmax]
    nested = f"{owner}.nested_absmax"
    if nested in tensors.values:
        parts += [tensors.values[nested], tensors.values[f"{owner}.nested_quant_map"]]
    inner = int(facts.get("nested_blocksize") or 256)
    offset = float(facts.get("nested_offset") or 0.0)
    return Computed(partial(_from_table, shape, block, inner, offset), tuple(parts), shape, "uint8")


def _from_table(
    shape: tuple[int, ...],
    block: int,
    inner: int,
    offset: float,
    codes: Array,
    table: Array,
    absmax: Array,
    nested: Array | None = None,
    nested_table: Array | None = None,
) -> Array:
    count = math.prod(shape)
    absmax = absmax.ravel()
    if nested is not None and nested_table is not None:
        places = np.arange(absmax.size) // inner
        absmax = nested_table.astype(np.float32)[absmax] * nested.ravel()[places] + offset
    flat = codes.ravel()
    pairs = np.stack([flat >> 4, flat & 15], 1).ravel()[:count]
    numbers = table.astype(np.float32)[pairs] * np.repeat(absmax.astype(np.float32), block)[:count]
    return np.asarray(numbers.reshape(shape))


def _join_microscaled(tensors: Tensors, target: str) -> None:
    """MXFP4, as gpt-oss stores it: (..., blocks, 16) bytes, and an exponent for each block."""
    blocks, scales = tensors.values[f"{target}_blocks"], tensors.values[f"{target}_scales"]
    if blocks.dtype != "uint8" or scales.dtype != "uint8" or blocks.shape[:-1] != scales.shape:
        return
    shape = (*blocks.shape[:-2], blocks.shape[-2] * blocks.shape[-1] * 2)
    values = Computed(_from_microscaled, (blocks, scales), shape, "float4_e2m1fn")
    tensors.take(f"{target}_scales", f"the scale of {target}")
    tensors.replace(f"{target}_blocks", target, values)


def _from_microscaled(blocks: Array, scales: Array) -> Array:
    table = np.array([*_E2M1, *(-x for x in _E2M1)], np.float32)
    pairs = np.stack([blocks & 15, blocks >> 4], -1)
    numbers = np.ldexp(
        table[pairs].reshape(*blocks.shape[:-1], -1), scales.astype(np.int32)[..., None] - _MX_BIAS
    )
    return np.asarray(numbers.reshape(*blocks.shape[:-2], -1))
