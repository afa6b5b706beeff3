"""Ternary weights in two bits each."""

from __future__ import annotations

from typing import Any

import numpy as np


def pack_ternary(weights: Any) -> Any:
    """Store four ternary weights in each byte, along the first axis.

    Byte b holds rows 4 b to 4 b + 3, the first in its lowest two bits, each as w + 1. Rows that
    are missing from the last byte are zeros.

    Args:
        weights: An array of -1, 0 and 1, `(rows, columns)`.

    Returns:
        Bytes, `(ceil(rows / 4), columns)`.

    Raises:
        ValueError: If there is another number.

    Example:
        >>> pack_ternary([[1], [0], [-1], [1], [-1]]).ravel().tolist()
        [134, 84]
    """
    array = np.asarray(weights)
    if array.ndim != 2 or not np.isin(array, (-1, 0, 1)).all():
        raise ValueError(
            "`weights` must be a matrix of -1, 0 and 1. "
            f"Received: weights of shape {array.shape} and dtype {array.dtype}"
        )
    rows = -(-len(array) // 4)
    digits = np.zeros((4 * rows, array.shape[1]), "int8")
    digits[: len(array)] = array
    places = np.array([1, 4, 16, 64], "uint8")[:, None]
    return ((digits + 1).astype("uint8").reshape(rows, 4, -1) * places).sum(1, dtype="uint8")


def unpack_ternary(packed: Any, rows: int) -> Any:
    """Return the weights that `pack_ternary` stored.

    Args:
        packed: Bytes, `(ceil(rows / 4), columns)`.
        rows: Number of rows.

    Returns:
        -1, 0 and 1 as int8, `(rows, columns)`.

    Raises:
        ValueError: If the number of rows does not belong to the bytes, or a byte holds a digit
            that is no weight.

    Example:
        >>> unpack_ternary(pack_ternary([[1, -1], [0, 1]]), 2).tolist()
        [[1, -1], [0, 1]]
    """
    array = np.asarray(packed)
    if array.ndim != 2 or array.dtype != np.uint8 or len(array) != -(-rows // 4):
        raise ValueError(
            f"`packed` must be a matrix of bytes with ceil(rows / 4) rows. Received: packed of "
            f"shape {array.shape} and dtype {array.dtype}, rows={rows}"
        )
    digits = (array[:, None] >> np.array([0, 2, 4, 6], "uint8")[:, None]) & 3
    if (digits == 3).any():
        raise ValueError("`packed` must hold ternary digits. Received: packed with a digit of 3")
    return (digits.reshape(4 * len(array), -1)[:rows].astype("int8")) - 1
