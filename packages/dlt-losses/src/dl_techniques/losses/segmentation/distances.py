"""Distances of pixels to the border of a region."""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from dl_techniques.core import Tensor

_FAR = 1e8
"""A squared distance beyond any image."""


def squared_distances(mask: Tensor) -> Tensor:
    """Return the squared distance of each pixel inside a mask to the nearest pixel outside.

    d^2(i, j) = min over outside (i', j') of (i - i')^2 + (j - j')^2, one axis after the other:
    exact, of static shape, in O(H W (H + W)) operations. Zero outside of the mask, and everywhere
    if the mask has no outside.

    Args:
        mask: `(samples, height, width)`, 1 inside and 0 outside.
    """
    seeds = ops.where(ops.greater(mask, 0.5), ops.ones_like(mask) * _FAR, ops.zeros_like(mask))
    down = ops.min(seeds[:, None, :, :] + _gaps(mask, 1)[None, :, :, None], axis=2)
    squares = ops.min(down[:, :, None, :] + _gaps(mask, 2)[None, None, :, :], axis=3)
    return ops.where(ops.greater_equal(squares, _FAR), ops.zeros_like(squares), squares)


def _gaps(mask: Tensor, axis: int) -> Tensor:
    """Return (i - j)^2 for each two positions along an axis."""
    positions = ops.cast(ops.arange(ops.shape(mask)[axis]), mask.dtype)
    gaps = positions[:, None] - positions[None, :]
    return gaps * gaps


def signed_distances(mask: Tensor) -> Tensor:
    """Return the distance to the border: above zero outside, zero at the border, below inside.

    phi = edt(1 - g) (1 - g) - (edt(g) - 1) g; zero everywhere if the mask is empty or full.

    Args:
        mask: `(samples, height, width)`, 1 inside and 0 outside.
    """
    outside = ops.sqrt(squared_distances(1.0 - mask))
    inside = ops.sqrt(squared_distances(mask))
    # A full mask has no distance to its outside, and none from there either.
    border = ops.any(ops.greater(inside, 0), axis=(1, 2), keepdims=True)
    return ops.where(border, outside * (1.0 - mask) - (inside - 1.0) * mask, ops.zeros_like(mask))


def by_class(function: Callable[[Tensor], Tensor], masks: Tensor) -> Tensor:
    """Apply a function of masks `(samples, height, width)` to each class.

    Args:
        function: Such as `signed_distances`.
        masks: `(batch, height, width, classes)`.

    Raises:
        ValueError: If the masks are not images.
    """
    if len(masks.shape) != 4:
        raise ValueError(
            "`y_pred` must be images (batch, height, width, classes) to compute distances. "
            f"Received: y_pred of shape {tuple(masks.shape)}"
        )
    _, height, width, classes = ops.shape(masks)
    planes = ops.reshape(ops.transpose(masks, (0, 3, 1, 2)), (-1, height, width))
    distances = ops.reshape(function(planes), (-1, classes, height, width))
    return ops.transpose(distances, (0, 2, 3, 1))
