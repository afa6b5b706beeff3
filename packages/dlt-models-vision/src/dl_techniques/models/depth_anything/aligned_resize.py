"""Bilinear resizing that keeps the corners."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dl_techniques.core import Example, Layer, Rejection, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.arguments import require_pair
from dl_techniques.layers.interpolation import resize_bilinear


@component(
    "dl_techniques>AlignedResize",
    kind="layer",
    tags=("image", "interpolation", "vision"),
    paper="arXiv:2103.13413",
    since="0.1",
)
class AlignedResize(Layer):
    """Resizes a map bilinearly, so that the centres of its corners stay where they are.

    y_o = x((o (n - 1)) / (m - 1)), for o = 0, ..., m - 1

    It is PyTorch's `interpolate(mode="bilinear", align_corners=True)`, and neither
    `keras.layers.UpSampling2D` nor `keras.layers.Resizing` does it.

    Args:
        size: New height and width m, one number for both or two.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, *size, channels)`.

    Raises:
        ValueError: If `size` is not positive, or the input is no map.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.depth_anything import AlignedResize
        >>> y = AlignedResize((1, 5))(np.array([[[[0.0], [2.0], [4.0]]]]))
        >>> [float(n) for n in y[0, 0, :, 0]]
        [0.0, 1.0, 2.0, 3.0, 4.0]

    References:
        Ranftl, Bochkovskiy and Koltun, "Vision Transformers for Dense Prediction",
        arXiv:2103.13413.
    """

    def __init__(self, size: int | Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._size = require_pair(size=size)
        self.size = size

    def build(self, input_shape: Shape) -> None:
        """Check the shape; there are no weights."""
        if len(input_shape) != 4:
            raise ValueError(
                "The input must be (batch, height, width, channels). "
                f"Received: input_shape={tuple(input_shape)}"
            )

    def call(self, inputs: Tensor) -> Tensor:
        """Resize."""
        return resize_bilinear(inputs, self._size, align_corners=True)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The new size."""
        return (input_shape[0], *self._size, input_shape[3])

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Smaller and larger."""
        yield Example(cls, {"size": 2}, TensorSpec((2, 3, 4, 2)))
        yield Example(cls, {"size": (4, 5)}, TensorSpec((2, 2, 3, 1)), name="larger")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No size, no map."""
        yield Rejection(cls, {"size": 0}, "size")
        yield Rejection(cls, {"size": (2, 2, 2)}, "size")
        yield Rejection(cls, {"size": 2}, "input_shape", build=(None, 4, 2))
