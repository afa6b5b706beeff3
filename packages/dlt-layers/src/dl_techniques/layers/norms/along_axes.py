"""Base of norms without weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dl_techniques.core import PositiveNumber, Shape
from dl_techniques.layers.norms.axes import checked_axis, positive_axes
from dl_techniques.layers.same_shape import SameShape


class AlongAxes(SameShape):
    """A layer that rescales its input by a length along some axes.

    Args:
        axis: The axis or axes.
        epsilon: Lower bound of the length, against a division by zero.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, axis: int | Sequence[int], epsilon: PositiveNumber, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = checked_axis(axis)
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Check the axes."""
        positive_axes(self.axis, len(input_shape))
