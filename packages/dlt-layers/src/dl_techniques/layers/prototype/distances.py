"""Distances of samples to prototypes."""

from __future__ import annotations

from keras import ops

from dl_techniques.core import Tensor


def squared_distances(x: Tensor, prototypes: Tensor) -> Tensor:
    """Return |x_b - p_j|^2 by one product of matrices.

    |x|^2 - 2 x p + |p|^2 cancels where all lie far from the origin, so the mean of the prototypes
    is subtracted first.

    Args:
        x: Float32 samples, `(batch, ..., features)`.
        prototypes: `(prototypes, features)`.

    Returns:
        Numbers that are not negative, `(batch, ..., prototypes)`.

    Example:
        >>> import numpy as np
        >>> x, p = np.array([[100.0, 4.0]], "float32"), np.array([[103.0, 0.0]], "float32")
        >>> np.asarray(squared_distances(x, p)).tolist()
        [[25.0]]
    """
    middle = ops.stop_gradient(ops.mean(prototypes, axis=0))
    x, prototypes = x - middle, prototypes - middle
    product = ops.matmul(x, ops.transpose(prototypes))
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return ops.maximum(squares - 2 * product + ops.sum(ops.square(prototypes), axis=-1), 0.0)
