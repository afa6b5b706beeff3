"""Eigenvalues of W^T W for stacks of matrices, block by block.

A stack is an array of shape (slices, rows, columns): one slice for a dense layer, one for each tap
of a convolution. Blocks are read in an order and size that depend on the shape alone, so that a
memory map, an array and any number of workers give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.lapack import routines_for

_BLOCK: Final = 1 << 21  # numbers of a block: 16 MB in double precision
# From here on a product of its own for each slice, which takes half the operations, is faster.
_SINGLY: Final = 48
# Squaring halves the exponent range; beyond these the matrix is scaled by a power of two first.
_SAFE: Final = {"float64": (1e-140, 1e140), "float32": (1e-12, 1e12)}
# Eigenvalues of the Gram matrix are exact to about this share of the largest one.
_RESOLUTION: Final = 1e-12


class Counts(NamedTuple):
    """Counts of NaN and infinities in a tensor."""

    nan: int
    inf: int


class Spectrum(NamedTuple):
    """Eigenvalues of all slices; `evals[k]` ascends."""

    evals: Array
    """Shape (slices, M)."""
    resolved: bool
    """Whether small eigenvalues carry digits of their own, as those of the SVD do."""


class NotFiniteError(ValueError):
    """The tensor holds NaN or infinity.

    Args:
        counts: How many of each.
    """

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        super().__init__(f"{counts.nan} NaN and {counts.inf} infinite values")


def spectrum(
    stack: Any,
    *,
    precision: str = "float64",
    method: str = "auto",
    exact: bool = False,
    device: str | None = None,
) -> Spectrum:
    """Eigenvalues of W^T W of each slice.

    Args:
        stack: Array of shape (slices, rows, columns), possibly a memory map.
        precision: In which the Gram matrix and its eigenvalues are computed.
        method: `"gram"`; `"svd"`, slower and exact for small eigenvalues too; `"auto"` takes
            the Gram matrix and, where `exact` asks for it, the SVD of whatever that cannot resolve.
        exact: Whether small eigenvalues matter.
        device: Where to compute with Gram matrices; by default with NumPy.

    Raises:
        NotFiniteError: If an entry is NaN or infinite.
    """
    scale = _scale(stack, precision)
    if method == "svd":
        return Spectrum(_by_svd(stack, scale), True)
    if device is None:
        grams = _grams(stack, np.dtype(precision), scale)
        evals = np.concatenate([_eigvalsh(matrices) for matrices in grams])
    else:
        evals = _on_device(stack, np.dtype(precision), scale, device)
    with np.errstate(over="ignore", invalid="ignore"):  # told by the caller
        evals = np.maximum(evals.astype(np.float64), 0.0) * np.float64(scale) ** 2
    resolved = bool((evals[:, 0] > _RESOLUTION * evals[:, -1]).all())
    if method == "auto" and exact and not resolved:
        return Spectrum(_by_svd(stack, scale), True)
    return Spectrum(evals, resolved)


def spectrum_of_product(left: Array, right: Array) -> Spectrum:
    """Eigenvalues of W^T W of W = left @ right, as many as the rank can be.

    The triangles of both QR decompositions have the singular values of the product: r x r.

    Args:
        left: Shape (rows, r).
        right: Shape (r, columns).

    Raises:
        NotFiniteError: If an entry is NaN or infinite.
    """
    for factor in (left, right):
        if not np.isfinite(factor).all():
            raise _not_finite(factor)
    triangles: list[Any] = [np.linalg.qr(factor, mode="r") for factor in (left, right.T)]
    with np.errstate(over="ignore", invalid="ignore"):  # told by the caller
        values = np.linalg.svd(triangles[0] @ triangles[1].T, compute_uv=False)
        return Spectrum(np.square(values[::-1])[None], True)


def gram(matrix: Any, dtype: Any = np.float64, scale: float = 1.0) -> Array:
    """The upper triangle of W^T W on the shorter side, accumulated over blocks of the longer one.

    Args:
        matrix: Two axes, in either orientation, possibly a memory map.
        dtype: In which to compute.
        scale: Divisor of the matrix.

    Raises:
        NotFiniteError: If an entry is NaN or infinite.
    """
    short = min(matrix.shape)
    total = np.zeros((short, short), _computed(matrix, dtype))
    for block in _blocks(matrix, dtype, scale):
        _add_product(block, total)
    if not np.isfinite(np.einsum("ii->i", total)).all():
        raise _not_finite(matrix)
    return total


def tall(matrix: Any) -> Any:
    """The matrix with its longer side first.

    Args:
        matrix: Two axes, or more with those two last.
    """
    return matrix if matrix.shape[-2] >= matrix.shape[-1] else np.swapaxes(matrix, -1, -2)


def count_nonfinite(array: Any) -> Counts:
    """Return how many NaN and infinities an array holds, read block by block.

    Args:
        array: Any shape.
    """
    nan = inf = 0
    for block in _flat_blocks(array):
        with np.errstate(invalid="ignore"):
            values = block if np.iscomplexobj(block) else block.astype(np.float64)
        nan += int(np.isnan(values).sum())
        inf += int(np.isinf(values).sum())
    return Counts(nan, inf)


def _grams(stack: Any, dtype: np.dtype[Any], scale: float) -> Iterator[Array]:
    """Gram matrices, as many slices together as make a block."""
    slices, rows, columns = stack.shape
    together = max(1, _BLOCK // (rows * columns))
    if together == 1:
        yield from (gram(matrix, dtype, scale)[None] for matrix in stack)
        return
    for first in range(0, slices, together):
        part = _prepared(tall(stack[first : first + together]), dtype, scale)
        short = part.shape[2]
        if short < _SINGLY:
            with np.errstate(invalid="ignore", over="ignore"):  # told apart below
                found = np.matmul(np.swapaxes(part, 1, 2).conj(), part)
        else:
            found = np.zeros((len(part), short, short), part.dtype)
            for matrix, total in zip(part, found, strict=True):
                _add_product(matrix, total)
        if not np.isfinite(np.einsum("kii->ki", found)).all():
            raise _not_finite(stack)
        yield found


def _eigvalsh(grams: Array) -> Array:
    """The eigenvalues of each; the matrices are destroyed."""
    routines = routines_for(grams.dtype, grams.shape[1])
    if routines is not None:
        return np.stack([routines.eigenvalues(matrix) for matrix in grams])
    try:
        return np.linalg.eigvalsh(grams)  # releases the GIL, which SciPy's does not
    except np.linalg.LinAlgError:  # rare failure to converge: the slower driver is sturdier
        from scipy.linalg import eigh

        return np.stack([eigh(g, eigvals_only=True, driver="ev") for g in grams])


def _on_device(stack: Any, dtype: np.dtype[Any], scale: float, device: str) -> Array:
    from dl_techniques.weightwatcher.numerics.device import solver_for

    solver = solver_for(device)

    def finite(matrix: Any) -> Iterator[Array]:
        for block in _blocks(matrix, dtype, scale):
            if not np.isfinite(block).all():
                raise _not_finite(stack)
            yield block

    return np.stack([solver.eigenvalues(finite(matrix)) for matrix in stack])


def _by_svd(stack: Any, scale: float) -> Array:
    values = []
    for matrix in stack:
        dense = _prepared(tall(matrix), np.dtype(np.float64), scale)
        if not np.isfinite(dense).all():
            raise _not_finite(stack)
        values.append(np.linalg.svd(dense, compute_uv=False)[::-1])
    with np.errstate(over="ignore"):  # told by the caller
        return np.asarray((np.stack(values) * scale) ** 2)


def _blocks(matrix: Any, dtype: Any, scale: float) -> Iterator[Array]:
    """The rows of the tall matrix, in blocks."""
    turned = tall(matrix)
    # Blocks that are computed take several arrays of their size.
    step = max(1, _BLOCK // (turned.shape[1] * getattr(turned, "arrays", 1)))
    for first in range(0, turned.shape[0], step):
        yield _prepared(turned[first : first + step], dtype, scale)


def _prepared(block: Any, dtype: Any, scale: float) -> Array:
    """The numbers to multiply; scaled before a cast that might not hold them."""
    array: Array = block / scale if scale != 1.0 else np.asarray(block)
    dtype = _computed(array, dtype)
    if array.dtype == dtype and _fits(array):
        return array
    # In one pass, and along whichever side the numbers lie closer: BLAS takes both.
    turned = abs(array.strides[-2]) < abs(array.strides[-1])
    *leading, rows, columns = array.shape
    shape = (*leading, columns, rows) if turned else (*leading, rows, columns)
    copied: Array = np.empty(shape, dtype)
    copied = np.swapaxes(copied, -1, -2) if turned else copied
    with np.errstate(invalid="ignore"):  # a signalling NaN is told as any other
        np.copyto(copied, array, casting="unsafe")
    return copied


def _computed(block: Any, dtype: Any) -> np.dtype[Any]:
    """The type to compute in: complex where the numbers are, as those of frequencies."""
    return np.result_type(dtype, np.complex64) if np.iscomplexobj(block) else np.dtype(dtype)


def _fits(block: Array) -> bool:
    """Return whether BLAS takes the block as it lies in memory."""
    wide, high = block.shape[-1], block.shape[-2]
    row, column = block.strides[-2:]
    by_rows = column == block.itemsize and row >= column * wide
    by_columns = row == block.itemsize and column >= row * high
    return (by_rows or by_columns) and block.flags.aligned


def _add_product(block: Array, total: Array) -> None:
    """Add X^T X to at least the upper triangle of `total`."""
    routines = routines_for(block.dtype, block.shape[1])
    if routines is not None:
        routines.add_product(block, total)
        return
    with np.errstate(invalid="ignore", over="ignore"):  # told apart by the caller
        # NumPy sees that both are one array, and computes half of the product.
        total += (block.conj().T if np.iscomplexobj(block) else block.T) @ block


def _scale(stack: Any, precision: str) -> float:
    """The power of two that brings the squares into range; 1 for all but extreme matrices."""
    if precision == "float64" and stack.dtype != np.float64:
        return 1.0  # the squares of all narrower types fit into double precision
    peak = 0.0
    for block in _flat_blocks(stack):
        peak = max(peak, float(np.max(np.abs(block), initial=0.0)))
    if not math.isfinite(peak):
        raise _not_finite(stack)
    low, high = _SAFE[precision]
    return 1.0 if peak == 0 or low < peak < high else 2.0 ** math.floor(math.log2(peak))


def _not_finite(array: Any) -> Exception:
    counts = count_nonfinite(array)
    # Without any, the Gram matrix itself left the range of single precision.
    return NotFiniteError(counts) if sum(counts) else OverflowError("the squares overflow")


def _flat_blocks(array: Any) -> Any:
    """All entries in blocks, along the first axis and, where its items are large, the second."""
    if array.ndim == 0:
        yield np.asarray(array)
        return
    size = math.prod(array.shape[1:])
    if size > _BLOCK and array.ndim > 1:
        for item in array:
            yield from _flat_blocks(item)
        return
    step = max(1, _BLOCK // max(1, size))
    for first in range(0, array.shape[0], step):
        yield np.asarray(array[first : first + step])
