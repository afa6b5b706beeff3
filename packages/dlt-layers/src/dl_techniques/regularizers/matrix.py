"""Weights of any rank as matrices."""

from __future__ import annotations

from keras import ops

from dl_techniques.core import Tensor, upcast


def as_matrix(x: Tensor) -> Tensor:
    """Flatten a weight to `(prod(shape[:-1]), shape[-1])`, one column for each output filter.

    A vector becomes one column. Half precision becomes float32.

    Args:
        x: The weight.

    Raises:
        ValueError: If the weight is a scalar.
    """
    w = upcast(ops.convert_to_tensor(x))
    if len(w.shape) == 0:
        raise ValueError("`x` must have at least one axis. Received: x of shape ()")
    return ops.reshape(w, (-1, w.shape[-1] if len(w.shape) > 1 else 1))
