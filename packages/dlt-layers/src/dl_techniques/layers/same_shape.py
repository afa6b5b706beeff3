"""Base of layers whose output has the shape of their input."""

from __future__ import annotations

from dl_techniques.core import Layer, Shape


class SameShape(Layer):
    """A layer whose output has the shape of its input."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape
