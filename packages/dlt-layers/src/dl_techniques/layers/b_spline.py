"""Bases of splines on a uniform grid."""

from __future__ import annotations

import math

from keras import ops

from dl_techniques.core import Tensor


def b_spline_bases(x: Tensor, grid_size: int, spline_order: int, low: float, high: float) -> Tensor:
    """Evaluate all B-splines of a uniform grid.

    The grid has G cells of width h on [low, high] and goes on for k cells on both sides, which
    makes G + k splines of order k. With z = |(x - low) / h - centre_g| they are

    B_g(x) = 1/k! sum_j (-1)^j C(k + 1, j) max((k + 1) / 2 - j - z, 0)^k,

    the closed form on uniform knots: no recursion and no division. They add up to one on
    [low, high], decay beyond and vanish k cells from it.

    Args:
        x: Float32 tensor of any shape.
        grid_size: Number of cells G.
        spline_order: Order k of the splines, at least one; three is cubic.
        low: Start of the grid.
        high: End of the grid.

    Returns:
        A tensor of x's shape and one more axis of length G + k.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers.b_spline import b_spline_bases
        >>> bases = b_spline_bases(np.array([0.0], "float32"), 2, 1, -1.0, 1.0)
        >>> np.asarray(bases).tolist()
        [[0.0, 1.0, 0.0]]
    """
    k = spline_order
    half = (k + 1) / 2
    scale = grid_size / (high - low)
    cells = (ops.expand_dims(x, -1) - low) * scale
    centres = ops.cast(ops.arange(grid_size + k) - k, cells.dtype) + half
    z = ops.abs(cells - centres)
    bases = ops.zeros_like(z)
    for j in range(math.ceil(half)):
        ramp = ops.relu(half - j - z)
        power = ramp
        for _ in range(k - 1):
            power = power * ramp
        bases = bases + (-1) ** j * math.comb(k + 1, j) / math.factorial(k) * power
    return bases
