"""Fitting the Marchenko-Pastur law to the bulk of a spectrum.

The spectrum is rescaled to mean 1, its density is estimated once on a grid, and the one free
parameter sigma is found by least squares: a grid first, then a simplex.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array

_HALF_WIDTH: Final = 0.1
_POINTS: Final = 1000
_MARGIN: Final = 0.5
_DENSITY_FLOOR: Final = 0.01
_PENALTY: Final = 1000.0
_SEARCH: Final = np.arange(0.05, 2.0, 0.01)
_CLOSE: Final = 1e-4
_MOVES: Final = 200


class MarchenkoPastur(NamedTuple):
    """The fitted bulk; edges stand on the axis of the original eigenvalues."""

    sigma: float
    """Of the rescaled spectrum: 1 for a random matrix."""
    num_spikes: int
    """Eigenvalues beyond the edge and its Tracy-Widom fluctuation."""
    bulk_min: float
    bulk_max: float
    softrank: float
    """Upper edge over the largest eigenvalue."""
    scale: float
    """What the weights were multiplied by: sqrt(n / sum lambda)."""


def fit_marchenko_pastur(evals: Array, N: int, M: int) -> MarchenkoPastur:
    """Fit sigma of the Marchenko-Pastur law.

    Args:
        evals: Eigenvalues, ascending.
        N: The longer side of the matrix.
        M: The shorter side.
    """
    Q = max(N, M) / min(N, M)
    total = float(evals.sum())
    scale2 = evals.size / total
    e = evals * scale2
    top = float(e[-1])
    sigma = _fit_sigma(e, Q)
    low, high = edges(sigma, Q)
    slack = math.sqrt(Q**-0.5 * high ** (2 / 3) * min(N, M) ** (-2 / 3))
    return MarchenkoPastur(
        sigma,
        int(np.count_nonzero(e > high + slack)),
        low / scale2,
        high / scale2,
        high / top,
        math.sqrt(scale2),
    )


def edges(sigma: float, Q: float) -> tuple[float, float]:
    """The bulk's edges: sigma^2 (1 -+ 1/sqrt Q)^2.

    Args:
        sigma: Standard deviation of the rescaled entries.
        Q: Aspect ratio, at least 1.
    """
    root = 1 / math.sqrt(Q)
    return sigma**2 * (1 - root) ** 2, sigma**2 * (1 + root) ** 2


def density(grid: Array, sigma: Array | float, Q: float) -> Array:
    """The law's density; over sqrt(lambda) and with Q = 1, the quarter circle.

    Args:
        grid: Where to evaluate.
        sigma: One number, or a column of them.
        Q: Aspect ratio, at least 1.
    """
    variance = np.square(sigma)
    if Q == 1:
        return np.asarray(np.sqrt(np.maximum(4.0 - grid**2, 0.0)) / (np.pi * variance))
    root = 1 / math.sqrt(Q)
    low, high = variance * (1 - root) ** 2, variance * (1 + root) ** 2
    inside = np.maximum(high - grid, 0.0) * np.maximum(grid - low, 0.0)
    return np.asarray(Q / (2 * np.pi * variance) * np.sqrt(inside) / np.maximum(grid, 1e-12))


def kernel_density(x: Array, grid: Array) -> Array:
    """Triangular-kernel density of ascending data, by prefix sums.

    Args:
        x: Ascending data.
        grid: Where to evaluate.
    """
    sums = np.concatenate([[0.0], np.cumsum(x)])
    left, middle, right = (
        np.searchsorted(x, grid + offset) for offset in (-_HALF_WIDTH, 0.0, _HALF_WIDTH)
    )
    # sum of (h - |g - x|) over both halves of the kernel
    rising = (middle - left) * (_HALF_WIDTH - grid) + sums[middle] - sums[left]
    falling = (right - middle) * (_HALF_WIDTH + grid) - sums[right] + sums[middle]
    return np.asarray((rising + falling) / (x.size * _HALF_WIDTH**2))


def _fit_sigma(e: Array, Q: float) -> float:
    x = np.sqrt(e) if Q == 1 else e
    grid = np.linspace(0.0, float(x[-1]) + _MARGIN, _POINTS)
    found = kernel_density(x, grid)
    kept = found > _DENSITY_FLOOR
    grid, found = grid[kept], found[kept]
    start = math.sqrt(float(x[-1])) / (1 + 1 / math.sqrt(Q))
    best = min(start * _SEARCH, key=lambda sigma: _cost(sigma, grid, found, Q))
    # A few spikes leave a coarse grid and a ragged cost: the simplex keeps to the valley it is in.
    return simplex(lambda sigma: _cost(sigma, grid, found, Q), float(best))


def simplex(cost: Callable[[float], float], start: float) -> float:
    """The simplex of Nelder and Mead in one dimension: two points.

    `scipy.optimize.fmin` finds the same, but its import takes longer than all the fits of a model.

    Args:
        cost: The function to minimize.
        start: Where to begin; the other point lies 5 % above.

    Returns:
        The better of the two points when they are close, in place and in cost.
    """

    def at(x: float) -> tuple[float, float]:
        return cost(x), x

    good, bad = sorted((at(start), at(1.05 * start)), key=itemgetter(0))
    for _ in range(_MOVES):
        if max(abs(bad[1] - good[1]), bad[0] - good[0]) <= _CLOSE:
            break
        x, step = good[1], good[1] - bad[1]
        moved = at(x + step)
        if moved[0] < good[0]:
            moved = min(moved, at(x + 2 * step), key=itemgetter(0))
        else:
            outside = moved[0] < bad[0]
            nearer = at(x + step / 2 if outside else x - step / 2)
            accepted = nearer[0] <= moved[0] if outside else nearer[0] < bad[0]
            # A rejected point shrinks the simplex, which in one dimension ends inside, too.
            moved = nearer if accepted or not outside else at(x - step / 2)
        good, bad = sorted((good, moved), key=itemgetter(0))
    return good[1]


def _cost(sigma: float, grid: Array, found: Array, Q: float) -> float:
    low, high = edges(sigma, Q)
    peak = grid[found.argmax()]
    if Q > 1 and (high < peak or high > grid[-1] or low > peak):
        return _PENALTY**2 * grid.size
    return float(np.sum((density(grid, sigma, Q) - found) ** 2))
