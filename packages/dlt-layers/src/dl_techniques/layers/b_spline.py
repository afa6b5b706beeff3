"""Bases of splines on a uniform grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keras import ops

from dl_techniques.core import Tensor
from dl_techniques.layers.arguments import require_integers


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


def require_grid(grid_size: int, spline_order: int, grid_range: Sequence[float]) -> None:
    """Check the grid of a spline.

    Args:
        grid_size: Number of cells.
        spline_order: Order of the splines.
        grid_range: Where the grid starts and ends.

    Raises:
        ValueError: If a number is not a positive integer, or the range is empty.
    """
    require_integers(grid_size=grid_size, spline_order=spline_order)
    if len(grid_range) != 2 or not grid_range[0] < grid_range[1]:
        raise ValueError(
            f"`grid_range` must be (low, high), low < high. Received: grid_range={grid_range}"
        )
