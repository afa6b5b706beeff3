"""Weights as matrices, for regularizers and spectral diagnostics."""

from __future__ import annotations

from keras import ops

from dl_techniques.core.contract.keras_types import Tensor


def reshape_to_2d(weight: Tensor, *, depthwise: bool = False) -> Tensor:
    """Bring a kernel into the form of a matrix whose columns are output units.

    A dense kernel stays as it is; a convolution kernel (k_1, ..., k_n, c_in, c_out) becomes
    (k_1 ... k_n c_in, c_out); a depthwise kernel (k_1, ..., k_n, c_in, m) becomes
    (k_1 ... k_n, c_in m), because each of its filters sees one channel only.

    Args:
        weight: A kernel of rank 2 or more; a vector becomes one column.
        depthwise: Whether it is a depthwise kernel, which its shape does not tell.

    Returns:
        The matrix.

    Raises:
        ValueError: If `weight` has no axis, or is no depthwise kernel although it should be.

    Example:
        >>> from keras import ops
        >>> tuple(reshape_to_2d(ops.ones((3, 3, 4, 8))).shape)
        (36, 8)
        >>> tuple(reshape_to_2d(ops.ones((3, 3, 4, 2)), depthwise=True).shape)
        (9, 8)
    """
    shape = tuple(weight.shape)
    least = 3 if depthwise else 1
    if len(shape) < least:
        raise ValueError(
            f"`weight` must have rank {least} or more. "
            f"Received: weight of shape {shape}, depthwise={depthwise}"
        )
    if len(shape) == 1:
        return ops.reshape(weight, (shape[0], 1))
    columns = shape[-2] * shape[-1] if depthwise else shape[-1]
    return ops.reshape(weight, (-1, columns))


def gram_matrix(weight: Tensor, *, normalize: bool = False) -> Tensor:
    """The Gram matrix of the columns: G = W^T W.

    Args:
        weight: A matrix (m, n), or a kernel that `reshape_to_2d` makes one of.
        normalize: Whether the columns are scaled to unit length first, so that G holds cosines;
            a zero column stays zero.

    Returns:
        A matrix (n, n).

    Example:
        >>> from keras import ops
        >>> ops.convert_to_numpy(gram_matrix(2.0 * ops.eye(2))).tolist()
        [[4.0, 0.0], [0.0, 4.0]]
    """
    w = reshape_to_2d(weight)
    if normalize:
        # Scaled by its largest number first: the square of a small or large one is out of range.
        w = w / _nonzero(ops.stop_gradient(ops.max(ops.abs(w), axis=0, keepdims=True)))
        w = w / ops.sqrt(_nonzero(ops.sum(ops.square(w), axis=0, keepdims=True)))
    return ops.matmul(ops.transpose(w), w)


def _nonzero(x: Tensor) -> Tensor:
    """One in place of zero, which keeps a zero column zero and its gradient finite."""
    return ops.where(x > 0, x, ops.ones_like(x))
