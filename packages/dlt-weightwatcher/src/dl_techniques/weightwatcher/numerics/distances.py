"""Distances between spectra and between matrices."""

from __future__ import annotations

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array

_BINS = 100


def wasserstein(first: Array, second: Array) -> float:
    """Wasserstein-1 distance between two spectra, in units of their common mean.

    Args:
        first: Eigenvalues, ascending.
        second: Eigenvalues, ascending.
    """
    scale = (float(first.mean()) + float(second.mean())) / 2
    if scale == 0:
        return 0.0
    if first.size == second.size:
        return float(np.abs(first - second).mean() / scale)
    points = np.sort(np.concatenate([first, second]))
    steps = np.diff(points)
    below = [np.searchsorted(x, points[:-1], side="right") / x.size for x in (first, second)]
    return float(np.sum(np.abs(below[0] - below[1]) * steps) / scale)


def jensen_shannon(first: Array, second: Array) -> float:
    """Jensen-Shannon distance of two spectra's densities on a common logarithmic histogram.

    Natural logarithm, square root of the divergence: between 0 and sqrt(ln 2).

    Args:
        first: Eigenvalues, ascending; zeros are left out.
        second: Eigenvalues, ascending; zeros are left out.
    """
    logs = [np.log(x[x > 0]) for x in (first, second)]
    if not (logs[0].size and logs[1].size):
        return float("nan")
    low, high = (float(f(np.concatenate(logs))) for f in (np.min, np.max))
    if low == high:
        return 0.0
    p, q = (np.histogram(x, _BINS, (low, high))[0] / x.size for x in logs)
    middle = (p + q) / 2
    return float(np.sqrt(max(0.0, (_divergence(p, middle) + _divergence(q, middle)) / 2)))


def jensen_shannon_of_vectors(first: Array, second: Array) -> float:
    """The same formula with the eigenvalues themselves as shares, as weightwatcher applies it.

    Args:
        first: Eigenvalues, ascending.
        second: As many, ascending.
    """
    p, q = first / first.sum(), second / second.sum()
    # The middle is taken before the shares are made, and made a share itself.
    middle = (first + second) / (first.sum() + second.sum())
    return float(np.sqrt(max(0.0, (_divergence(p, middle) + _divergence(q, middle)) / 2)))


def linear_cka(first: Array, second: Array, *, centred: bool = True) -> float:
    """Linear centred kernel alignment of two matrices with equally many rows.

    ||A^T B||_F^2 / (||A^T A||_F ||B^T B||_F), columns centred.

    Args:
        first: Shape (rows, columns).
        second: Shape (rows, other columns).
        centred: Whether to subtract the columns' means.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    if centred:
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norms = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(a.T @ b) ** 2 / norms) if norms > 0 else float("nan")


def subspace_overlap(first: Array, second: Array) -> float:
    """||U^T V||_F^2 / k for two orthonormal bases of k columns: 1 if they span the same space.

    Args:
        first: Shape (n, k), orthonormal columns.
        second: Shape (n, k), orthonormal columns.
    """
    k = min(first.shape[1], second.shape[1])
    return float(np.linalg.norm(first.T @ second) ** 2 / k) if k else float("nan")


def _divergence(p: Array, q: Array) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / q[some])))
