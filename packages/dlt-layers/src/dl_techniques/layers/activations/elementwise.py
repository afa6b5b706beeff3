"""What all activations share: each number is mapped by itself."""

from __future__ import annotations

from typing import Any

from dl_techniques.core import Layer, Shape


class Elementwise(Layer):
    """A layer that keeps shape and mask.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape
