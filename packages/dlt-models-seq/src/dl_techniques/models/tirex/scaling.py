"""Scaling of series by their own mean and deviation, and the loss of quantiles."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from dl_techniques.core import Tensor

_TINY = 1e-5


def location_and_scale(series: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the observed samples, `(batch, 1)` each.

    A constant series has the scale |mean| + 1e-5, a series without samples 0 and 1.

    Args:
        series: `(batch, length)`, NaN = not observed.
    """
    seen = ops.logical_not(ops.isnan(series))
    zeros = ops.zeros_like(series)
    count = ops.sum(ops.cast(seen, series.dtype), axis=-1, keepdims=True)
    divisor = ops.maximum(count, 1.0)
    location = ops.sum(ops.where(seen, series, zeros), axis=-1, keepdims=True) / divisor
    squares = ops.square(ops.where(seen, series - location, zeros))
    variance = ops.sum(squares, axis=-1, keepdims=True) / divisor
    # The gradient of a square root at zero is infinite.
    flat = variance == 0
    scale = ops.sqrt(ops.where(flat, ops.ones_like(variance), variance))
    scale = ops.where(flat, ops.abs(location) + _TINY, scale)
    return location, ops.where(count == 0, ops.ones_like(scale), scale)


def pinball(y: Tensor, quantiles: Tensor, levels: Sequence[float]) -> Tensor:
    """Mean pinball loss over the quantiles, `(batch, steps)`; zero where y is NaN.

    max(u (y - q), (u - 1) (y - q)) at the level u

    Args:
        y: Targets `(batch, steps)`.
        quantiles: `(batch, steps, levels)`.
        levels: Levels between 0 and 1.
    """
    seen = ops.logical_not(ops.isnan(y))
    y = ops.where(seen, y, ops.zeros_like(y))
    u = ops.convert_to_tensor(list(levels), dtype=quantiles.dtype)
    error = y[..., None] - quantiles
    losses = ops.mean(ops.maximum(u * error, (u - 1.0) * error), axis=-1)
    return ops.where(seen, losses, ops.zeros_like(losses))
