"""Knots that follow the data, and the coefficients that keep a function on new knots.

NumPy computes in float64 what is needed once, outside of a compiled step.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def uniform_knots(grid_size: int, spline_order: int, low: float, high: float) -> Any:
    """Return G + 2 k + 1 knots: G equal cells from `low` to `high`, and k more on each side.

    Args:
        grid_size: Number of cells G.
        spline_order: Order k of the splines.
        low: Start of the range.
        high: End of the range.

    Example:
        >>> uniform_knots(2, 1, 0.0, 1.0).tolist()
        [-0.5, 0.0, 0.5, 1.0, 1.5]
    """
    cell = (high - low) / grid_size
    return low + cell * np.arange(-spline_order, grid_size + spline_order + 1)


def adapted_knots(
    samples: Any, grid_size: int, spline_order: int, epsilon: float, margin: float
) -> Any:
    """Return knots of which each cell holds about as many samples.

    t = epsilon uniform + (1 - epsilon) quantiles of the samples, with k cells of the mean width
    on each side.

    Args:
        samples: A float64 vector that holds at least two different numbers.
        grid_size: Number of cells G.
        spline_order: Order k of the splines.
        epsilon: Share of the uniform knots, above 0, so that no two knots are equal.
        margin: How far the range exceeds the samples on each side, as a share of their range.
    """
    quantiles = np.quantile(samples, np.linspace(0, 1, grid_size + 1))
    margin = margin * (quantiles[-1] - quantiles[0])
    quantiles[0] -= margin
    quantiles[-1] += margin
    uniform = np.linspace(quantiles[0], quantiles[-1], grid_size + 1)
    inner = epsilon * uniform + (1 - epsilon) * quantiles
    outer = (inner[-1] - inner[0]) / grid_size * np.arange(1, spline_order + 1)
    return np.concatenate([inner[0] - outer[::-1], inner, inner[-1] + outer])


def spline_bases(x: Any, knots: Any, spline_order: int, xp: Any = np) -> Any:
    """Evaluate all B-splines of any knots by the recursion of Cox and de Boor.

    Args:
        x: Places; the last axis may be the features, if the knots have theirs.
        knots: Increasing knots, `(M,)`, or `(features, M)` for knots of each feature.
        spline_order: Order k.
        xp: NumPy, or `keras.ops` for tensors.

    Returns:
        The shape of x and one more axis of length M - k - 1.

    Example:
        >>> spline_bases(np.array([0.25]), np.array([-0.5, 0.0, 0.5, 1.0, 1.5]), 1).tolist()
        [[0.5, 0.5, 0.0]]
    """
    left = x[..., None] - knots
    inside = (left[..., :-1] >= 0) & (left[..., 1:] < 0)
    bases = xp.where(inside, xp.ones_like(left[..., 1:]), xp.zeros_like(left[..., 1:]))
    for order in range(1, spline_order + 1):
        width = knots[..., order:] - knots[..., :-order]
        rising = left[..., : -order - 1] / width[..., :-1] * bases[..., :-1]
        falling = left[..., order + 1 :] / width[..., 1:] * bases[..., 1:]
        bases = rising - falling
    return bases


def fitted_coefficients(places: Any, values: Any, knots: Any, spline_order: int) -> Any:
    """Find the spline on new knots that is closest to given values, by least squares.

    Args:
        places: Where the values are known, `(P,)`.
        values: Values of several functions, `(P, functions)`.
        knots: The new knots, `(M,)`.
        spline_order: Order k.

    Returns:
        Coefficients, `(M - k - 1, functions)`.
    """
    bases = spline_bases(places, knots, spline_order)
    coefficients, *_ = np.linalg.lstsq(bases, values, rcond=None)
    return coefficients
