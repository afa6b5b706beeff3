"""Base of activations, which map each number by itself."""

from __future__ import annotations

from typing import Any

from dl_techniques.layers.same_shape import SameShape


class Elementwise(SameShape):
    """A layer that keeps shape and mask.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
