"""Padding of images to sizes that halve evenly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from keras import ops

from dl_techniques.core import Count, Example, Rejection, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of


@component(
    "dl_techniques>PadToMultiple",
    kind="layer",
    tags=("vision", "padding"),
    since="0.1",
)
class PadToMultiple(ChannelsLastLayer):
    """Pads images at the bottom and on the right until their sizes are multiples of a number.

    y[i] = x[i] for i < n, and beyond x[2(n - 1) - i] (reflection) or x[n - 1] (edge).

    Args:
        multiple: The number.
        border: `"reflect"` mirrors the image without repeating its edge, and repeats the edge where
            the image is too small to mirror; `"edge"` always repeats it.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        The same, height and width rounded up to multiples.

    Raises:
        ValueError: If `multiple` is not positive, or `border` unknown.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.vision import PadToMultiple
        >>> y = PadToMultiple(4)(np.arange(3.0).reshape(1, 1, 3, 1))
        >>> np.asarray(y)[0, 0, :, 0].tolist()
        [0.0, 1.0, 2.0, 1.0]

    References:
        The modes `reflect` and `edge` of `numpy.pad`.
    """

    def __init__(
        self, multiple: Count, border: Literal["reflect", "edge"] = "reflect", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.multiple = multiple
        self.border = border

    def build(self, input_shape: Shape) -> None:
        """Check the shape; there are no weights."""
        channels_of(input_shape)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Gather rows, then columns."""
        x = inputs
        for axis in (1, 2):
            size = ops.shape(x)[axis]
            extra = -size % self.multiple
            if not isinstance(size, int) or extra:
                x = ops.take(x, _places(size, extra, self.border), axis=axis)
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Sizes rounded up."""
        batch, height, width, channels = input_shape
        sizes = (None if n is None else n + -n % self.multiple for n in (height, width))
        return (batch, *sizes, channels)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Reflected, and with a repeated edge."""
        yield Example(cls, {"multiple": 4}, TensorSpec((2, 7, 8, 2)))
        repeated = {"multiple": 8, "border": "edge"}
        yield Example(cls, repeated, TensorSpec((2, 2, 3, 1)), name="repeated")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No image."""
        yield Rejection(cls, {"multiple": 2}, "input_shape", build=(2, 3, 4))


def _places(size: Any, extra: Any, border: str) -> Tensor:
    """The row of the image that each row of the padded image repeats."""
    last = size - 1
    rows = ops.arange(size + extra, dtype="int32")
    repeated = ops.minimum(rows, last)
    if border == "edge":
        return repeated
    reflected = last - ops.abs(rows - last)
    if isinstance(size, int):
        return reflected if extra <= last else repeated
    return ops.where(extra <= last, reflected, repeated)
