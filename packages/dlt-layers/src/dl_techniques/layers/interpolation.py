"""Bilinear and bicubic resizing as two products with matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from keras import ops

from dl_techniques.core import Tensor

_PLAIN: Final = -0.75
_ANTIALIAS: Final = -0.5


def resize_bilinear(image: Tensor, size: tuple[Any, Any], *, align_corners: bool = False) -> Tensor:
    """Resize an image bilinearly and without antialiasing.

    It is what `keras.ops.image.resize` does, but in the image's own dtype (TensorFlow's goes
    through float32) and differentiable on every backend.

    Args:
        image: (batch, height, width, channels).
        size: New height and width; numbers or scalar tensors.
        align_corners: Whether the corners' centres stay where they are, rather than the corners
            themselves.
    """
    place = _aligned if align_corners else _centred
    return _resize(image, size, lambda old, new: _bilinear(old, new, place))


def resize_bicubic(image: Tensor, size: tuple[Any, Any], *, antialias: bool) -> Tensor:
    """Resize an image bicubically, in one of the two ways in which pretrained models were.

    Args:
        image: (batch, height, width, channels).
        size: New height and width; numbers or scalar tensors.
        antialias: Whether the filter grows with the step (Pillow's, a = -0.5, cut off at the
            border and normalized), rather than taking four points (a = -0.75, border repeated).
    """
    return _resize(image, size, _antialiased if antialias else _bicubic)


def _resize(image: Tensor, size: tuple[Any, Any], weights: Callable[[Any, Any], Tensor]) -> Tensor:
    batch, height, width, channels = ops.shape(image)
    rows = ops.cast(weights(height, size[0]), image.dtype)
    columns = ops.cast(weights(width, size[1]), image.dtype)
    x = ops.matmul(rows, ops.reshape(image, (batch, height, width * channels)))
    return ops.matmul(columns, ops.reshape(x, (batch, size[0], width, channels)))


def _centred(old: Any, new: Any) -> Tensor:
    """Return where the centres of new pixels lie among the old ones."""
    # Cast first: of unknown sizes, TensorFlow gives the quotient in float64.
    step = ops.cast(old, "float32") / ops.cast(new, "float32")
    return (ops.arange(new, dtype="float32") + 0.5) * step - 0.5


def _aligned(old: Any, new: Any) -> Tensor:
    gaps = ops.maximum(ops.cast(new, "float32") - 1.0, 1.0)
    return ops.arange(new, dtype="float32") * (ops.cast(old, "float32") - 1.0) / gaps


def _bilinear(old: Any, new: Any, place: Callable[[Any, Any], Tensor]) -> Tensor:
    """Return how much of each old place each new one takes, (new, old)."""
    places = ops.arange(old, dtype="float32")
    centres = ops.clip(place(old, new), 0.0, places[-1])
    return ops.maximum(1.0 - ops.abs(centres[:, None] - places), 0.0)


def _cubic(x: Tensor, a: float) -> Tensor:
    x = ops.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    return ops.where(x <= 1.0, near, ops.where(x < 2.0, far, 0.0))


def _bicubic(old: Any, new: Any) -> Tensor:
    # Two more places on each side; what they take belongs to the border.
    places = ops.arange(-2, old + 2, dtype="float32")
    weights = _cubic(_centred(old, new)[:, None] - places, _PLAIN)
    inner = ops.clip(places, 0.0, ops.cast(old, "float32") - 1.0)
    owner = ops.cast(inner[:, None] == ops.arange(old, dtype="float32"), "float32")
    return ops.matmul(weights, owner)


def _antialiased(old: Any, new: Any) -> Tensor:
    step = ops.cast(old, "float32") / ops.cast(new, "float32")
    distances = _centred(old, new)[:, None] - ops.arange(old, dtype="float32")
    weights = _cubic(distances / ops.maximum(step, 1.0), _ANTIALIAS)
    return weights / ops.sum(weights, axis=1, keepdims=True)
