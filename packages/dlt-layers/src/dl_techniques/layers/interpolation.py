"""Bilinear resizing as two products with matrices."""

from __future__ import annotations

from typing import Any

from keras import ops

from dl_techniques.core import Tensor


def resize_bilinear(image: Tensor, size: tuple[Any, Any]) -> Tensor:
    """Resize an image bilinearly, between the centres of pixels and without antialiasing.

    It is what `keras.ops.image.resize` does, but in the image's own dtype (TensorFlow's goes
    through float32) and differentiable on every backend.

    Args:
        image: (batch, height, width, channels).
        size: New height and width; numbers or scalar tensors.
    """
    batch, height, width, channels = ops.shape(image)
    rows = _weights(height, size[0], image.dtype)
    columns = _weights(width, size[1], image.dtype)
    x = ops.matmul(rows, ops.reshape(image, (batch, height, width * channels)))
    return ops.matmul(columns, ops.reshape(x, (batch, size[0], width, channels)))


def _weights(old: Any, new: Any, dtype: Any) -> Tensor:
    """How much of each old place each new one takes, (new, old)."""
    # Cast first: of unknown sizes, TensorFlow gives the quotient in float64.
    step = ops.cast(old, "float32") / ops.cast(new, "float32")
    centres = (ops.arange(new, dtype="float32") + 0.5) * step - 0.5
    places = ops.arange(old, dtype="float32")
    centres = ops.clip(centres, 0.0, places[-1])
    return ops.cast(ops.maximum(1.0 - ops.abs(centres[:, None] - places), 0.0), dtype)
