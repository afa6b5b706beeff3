"""Weights of few bits in ONNX files: two numbers of four bits in a byte, the lower half first."""

from __future__ import annotations

import math
from functools import partial
from typing import Final

import numpy as np

from dl_techniques.weightwatcher.readers.array import Array
from dl_techniques.weightwatcher.readers.computed import Computed
from dl_techniques.weightwatcher.readers.values import Values

_BITS: Final = (2, 4, 8)


def of_few_bits(
    codes: Values,
    scale: Values | None,
    zero: Values | None,
    *,
    K: int,  # the operator's own name
    N: int,
    bits: int,
    block_size: int,
) -> Computed:
    """Return the matrix of onnxruntime's MatMulNBits, inputs x outputs.

    Args:
        codes: Shape (N, blocks, bytes of a block).
        scale: A number for each block.
        zero: The codes of zero: packed as the codes, or in full; by default the middle.
        K: The inputs.
        N: The outputs.
        bits: Of each code.
        block_size: How many inputs share a scale; the last block may be cut.

    Raises:
        ValueError: If the parts do not fit.
    """
    bits = bits or 4
    if bits not in _BITS or min(K, N, block_size) < 1 or scale is None:
        raise ValueError("packed, and nothing says how")
    blocks = -(-K // block_size)
    if math.prod(codes.shape) != N * blocks * block_size * bits // 8 or codes.dtype != "uint8":
        raise ValueError(f"codes of shape {codes.shape} are no {K} x {N} in blocks of {block_size}")
    if math.prod(scale.shape) != N * blocks:
        raise ValueError(f"a scale of shape {scale.shape} does not fit {N} x {blocks} blocks")
    packed_zeros = N * -(-blocks * bits // 8)
    if zero is not None and math.prod(zero.shape) not in (N * blocks, packed_zeros):
        raise ValueError(f"zero points of shape {zero.shape} do not fit {N} x {blocks} blocks")
    parts = (codes, scale) if zero is None else (codes, scale, zero)
    return Computed(partial(_matrix, K, N, bits, block_size), parts, (K, N), f"uint{bits}")


def _matrix(
    K: int,
    N: int,
    bits: int,
    block_size: int,
    codes: Array,
    scale: Array,
    zero: Array | None = None,
) -> Array:
    blocks = -(-K // block_size)
    numbers = _codes(codes.reshape(N, -1), bits).reshape(N, blocks, block_size)
    middle: Array = np.full((N, blocks), 1 << (bits - 1), np.float32)
    if zero is not None and zero.dtype != np.uint8:
        middle = zero.reshape(N, blocks).astype(np.float32)
    elif zero is not None:
        middle = _codes(zero.reshape(N, -1), bits)[:, :blocks].astype(np.float32)
    found = (numbers - middle[..., None]) * scale.reshape(N, blocks, 1).astype(np.float32)
    return found.reshape(N, -1)[:, :K].T


def _codes(rows: Array, bits: int) -> Array:
    """The codes of each row, the lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return ((rows[..., None] >> shifts) & np.uint8((1 << bits) - 1)).reshape(rows.shape[0], -1)
