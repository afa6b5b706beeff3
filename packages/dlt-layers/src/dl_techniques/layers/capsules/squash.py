"""The nonlinearity of capsules."""

from __future__ import annotations

from keras import ops

from dl_techniques.core import Tensor
from dl_techniques.layers.norms.axes import Axis, positive_axes, sum_square


def squash(s: Tensor, axis: Axis, epsilon: float, mask: Tensor | None = None) -> Tensor:
    """V = |s|^2 / (1 + |s|^2) * s / sqrt(|s|^2 + epsilon), whose gradient at zero is zero.

    Args:
        s: A tensor in float32 at least.
        axis: The axis or axes of a capsule.
        epsilon: Added to |s|^2 where it is divided by.
        mask: True where a position counts; over the leading axes of `s`.
    """
    square = sum_square(s, positive_axes(axis, len(s.shape)), mask)
    return square / (1.0 + square) * ops.rsqrt(square + epsilon) * s
