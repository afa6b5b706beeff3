"""Gram matrices and eigenvalues by routines that NumPy's library has and NumPy does not call.

A symmetric matrix is reduced to a tridiagonal one, whose eigenvalues are quickly found; nearly all
of the time goes into the product and the reduction.

- `?syrk` adds a product to one triangle; NumPy calls it too, but then fills the other triangle
  number by number.
- `?sytrd` and `?sterf` work in place, without the copy and the passes of `numpy.linalg.eigvalsh`,
  and in single precision where that is asked for.
- From some size on it is faster to reduce to a band first, `?sytrd_sy2sb`, in products of
  matrices, and then the band, `?sytrd_sb2st` (Haidar, Ltaief and Dongarra, 2011): `?sytrd` does
  half of its work in products of a matrix and a vector, which wait for memory.

Where the library is another than OpenBLAS, or lacks one of these, there is `None` in their place.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Final

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.threads import libraries

_SMALL: Final = 128  # below, to prepare the calls costs more than they save
_LARGE: Final = {"float64": 1536, "float32": 2048}  # from here on, in two stages
_BAND: Final = 48
_PANEL: Final = 16  # columns; LAPACK's own 32 are slower by a tenth
_LETTERS: Final = {"float64": "d", "float32": "s"}
_NAMES: Final = ("syrk", "sytrd", "sytrd_sy2sb", "sytrd_sb2st", "sterf")
_SPELLINGS: Final = (("scipy_", "_64_"), ("", "_64_"), ("scipy_", "_"), ("", "_"))
_LENGTH: Final = ctypes.c_size_t(1)  # of a text argument; Fortran's compilers add it at the end
# Fortran's lower triangle, the upper one of an array in C's order: in two stages it is faster.
_TRIANGLE: Final = b"L"


class Routines:
    """The routines of one library for one type.

    Args:
        library: An OpenBLAS, as ctypes loads it.
        dtype: `float64` or `float32`.

    Raises:
        AttributeError: If the library lacks one of them.
    """

    def __init__(self, library: Any, dtype: str) -> None:
        self._dtype = np.dtype(dtype)
        letter = _LETTERS[dtype]
        for before, after in _SPELLINGS:
            found = [getattr(library, f"{before}{letter}{name}{after}", None) for name in _NAMES]
            if all(found):
                self._syrk, self._sytrd, self._sy2sb, self._sb2st, self._sterf = found
                return
        raise AttributeError(f"the library lacks one of {', '.join(_NAMES)}")

    def add_product(self, block: Array, total: Array) -> None:
        """Add X^T X to the upper triangle of `total`; the lower one is left alone.

        Args:
            block: Shape (rows, n), of this type; one of its sides must be contiguous.
            total: Shape (n, n), contiguous.
        """
        rows, n = block.shape
        by_rows = block.strides[1] == block.itemsize
        step = block.strides[0 if by_rows else 1] // block.itemsize
        one = np.ones(1, self._dtype)
        # The stride of a single line means nothing.
        facts = (n, rows, one, block, max(step, n if by_rows else rows), one, total, n)
        _call(self._syrk, _TRIANGLE, b"N" if by_rows else b"T", *facts)

    def eigenvalues(self, matrix: Array, *, two_stages: bool | None = None) -> Array:
        """The eigenvalues, ascending, by the upper triangle; the matrix is destroyed.

        Args:
            matrix: Shape (n, n), contiguous, of this type.
            two_stages: Whether to reduce to a band first; by default where that is faster.

        Raises:
            LinAlgError: If a routine fails.
        """
        if two_stages is None:
            two_stages = len(matrix) >= _LARGE[self._dtype.name]
        diagonal, beside = (self._by_band if two_stages else self._at_once)(matrix)
        values = diagonal.copy()
        if _call(self._sterf, len(values), values, beside.copy(), reports=True):
            # Hardly ever: bisection, which is slower, cannot fail to converge.
            from scipy.linalg import eigvalsh_tridiagonal

            values = eigvalsh_tridiagonal(diagonal, beside[:-1], lapack_driver="stebz")
        return values

    def _at_once(self, matrix: Array) -> tuple[Array, Array]:
        n = len(matrix)
        diagonal, beside, tau = self._vectors(n)
        work = np.empty(_PANEL * n, self._dtype)
        facts = (matrix, n, diagonal, beside, tau, work, work.size)
        _check(_call(self._sytrd, _TRIANGLE, n, *facts, reports=True))
        return diagonal, beside

    def _by_band(self, matrix: Array) -> tuple[Array, Array]:
        n, k = len(matrix), _BAND
        band = np.zeros((n, k + 1), self._dtype)
        diagonal, beside, tau = self._vectors(n)

        def first(work: Array, size: int) -> None:
            facts = (n, k, matrix, n, band, k + 1, tau, work, size)
            _check(_call(self._sy2sb, _TRIANGLE, *facts, reports=True))

        def second(reflectors: Array, count: int, work: Array, size: int) -> None:
            facts = (n, k, band, k + 1, diagonal, beside, reflectors, count, work, size)
            _check(_call(self._sb2st, b"Y", b"N", _TRIANGLE, *facts, reports=True))

        first(*self._sized(first, 1))
        second(*self._sized(second, 2))
        return diagonal, beside

    def _vectors(self, n: int) -> list[Array]:
        return [np.empty(n, self._dtype) for _ in range(3)]

    def _sized(self, routine: Any, arrays: int) -> list[Any]:
        """Work space, as large as the routine says when it is asked with a size of -1."""
        asked = [np.zeros(1, self._dtype) for _ in range(arrays)]
        routine(*(item for array in asked for item in (array, -1)))
        sizes = [max(1, int(array[0])) for array in asked]
        return [item for n in sizes for item in (np.empty(n, self._dtype), n)]


def routines_for(dtype: np.dtype[Any], n: int) -> Routines | None:
    """The routines for matrices of this type and size, where they are there and worth it.

    Args:
        dtype: Of the matrices.
        n: Their size.
    """
    return _routines(dtype.name) if n >= _SMALL and dtype.name in _LETTERS else None


@functools.cache
def _routines(dtype: str) -> Routines | None:
    for found in libraries().select(internal_api="openblas").lib_controllers:
        try:
            routines = Routines(found.dynlib, dtype)
        except AttributeError:
            continue
        if _agrees(routines, dtype):
            return routines
    return None


def _agrees(routines: Routines, dtype: str) -> bool:
    """Return whether a library counts and takes its arguments as is assumed here."""
    places = np.arange(70.0)
    block = np.cos(np.outer(places, places[:64] + 1)).astype(dtype)
    tolerance = 1000 * float(np.finfo(dtype).eps)
    product = 2 * block.T @ block
    expected = np.linalg.eigvalsh(product)
    try:
        for two_stages in (False, True):
            total = np.zeros_like(product)
            for part in (block, np.asfortranarray(block)):
                routines.add_product(part, total)
            found = routines.eigenvalues(total.copy(), two_stages=two_stages)
            if not np.allclose(found, expected, rtol=0, atol=tolerance * float(expected[-1])):
                return False
    except np.linalg.LinAlgError:
        return False
    return bool(np.allclose(np.triu(total), np.triu(product), rtol=0, atol=100 * tolerance))


def _call(routine: Any, *arguments: Any, reports: bool = False) -> int:
    """Call a routine of Fortran, which takes addresses, and return what it reports."""
    report = ctypes.c_int64(0)
    texts = [_LENGTH for argument in arguments if isinstance(argument, bytes)]
    last = [ctypes.byref(report)] if reports else []
    routine(*map(_address, arguments), *last, *texts)
    return report.value


def _address(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    # The low half of an integer comes first: it serves libraries of 32 and of 64 bits.
    number = ctypes.c_char(value) if isinstance(value, bytes) else ctypes.c_int64(value)
    return ctypes.byref(number)


def _check(report: int) -> None:
    if report:
        raise np.linalg.LinAlgError(f"a LAPACK routine reports {report}")
