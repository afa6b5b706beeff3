"""Padding of images to sizes that halve evenly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Example, Rejection, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.arguments import require_integers
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of


@component(
    "dl_techniques>PadToMultiple",
    kind="layer",
    tags=("vision", "padding"),
    since="0.1",
)
class PadToMultiple(ChannelsLastLayer):
    """Pads images at the bottom and on the right until their sizes are multiples of a number.

    The image is reflected, without repeating its border; where it is too small for that, the border
    is repeated.

    Args:
        multiple: The number.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        The same, height and width rounded up to multiples.

    Raises:
        ValueError: If `multiple` is not positive.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.convunext import PadToMultiple
        >>> y = PadToMultiple(4)(np.arange(3.0).reshape(1, 1, 3, 1))
        >>> np.asarray(y)[0, 0, :, 0].tolist()
        [0.0, 1.0, 2.0, 1.0]

    References:
        Reflection as in `numpy.pad`.
    """

    def __init__(self, multiple: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_integers(multiple=multiple)
        self.multiple = multiple

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
                x = ops.take(x, _places(size, extra), axis=axis)
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Sizes rounded up."""
        batch, height, width, channels = input_shape
        sizes = (None if n is None else n + -n % self.multiple for n in (height, width))
        return (batch, *sizes, channels)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Reflected, and too small for that."""
        yield Example(cls, {"multiple": 4}, TensorSpec((2, 7, 8, 2)))
        yield Example(cls, {"multiple": 8}, TensorSpec((2, 2, 3, 1)), name="repeated")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No number, no image."""
        yield Rejection(cls, {"multiple": 0}, "multiple")
        yield Rejection(cls, {"multiple": 2}, "input_shape", build=(2, 3, 4))


def _places(size: Any, extra: Any) -> Tensor:
    """Where each row of the padded image comes from."""
    last = size - 1
    rows = ops.arange(size + extra, dtype="int32")
    reflected = last - ops.abs(rows - last)
    repeated = ops.minimum(rows, last)
    fits = ops.cast(extra <= last, "bool") if not isinstance(size, int) else extra <= last
    if isinstance(fits, bool):
        return reflected if fits else repeated
    return ops.where(fits, reflected, repeated)
