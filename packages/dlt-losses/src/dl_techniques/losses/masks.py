"""Masks that Keras attaches to predictions."""

from __future__ import annotations

from typing import Any

import keras

from dl_techniques.core import Tensor


def mask_of(y_pred: Any) -> Tensor | None:
    """Return the mask that travels with a tensor, or `None`.

    Keras keeps the mask of a layer's output beside the tensor; where the tensor takes no
    attributes (as in compiled functions of JAX), it keeps it elsewhere. Its public door to both is
    the `mask` argument of a layer.

    Args:
        y_pred: Predictions as `fit`, `evaluate` or a layer gives them.
    """
    if not keras.ops.is_tensor(y_pred):
        return None  # Arrays and nested structures carry no mask.
    reader = _MaskReader(dtype="float32", autocast=False)
    found = reader(y_pred)
    return found if reader.found else None


class _MaskReader(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """A layer that returns the mask of its input, or a zero."""

    def __init__(self, **kwargs: Any) -> None:
        # TensorFlow refuses the name that Keras would make of this class's.
        super().__init__(name="mask_reader", **kwargs)
        self.supports_masking = True
        self.found = False

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        del inputs
        self.found = mask is not None
        return keras.ops.zeros((), "bool") if mask is None else mask

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:  # noqa: ARG002  # Keras's
        return None
