"""Rearrange channels into pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Count, Example, Rejection, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.conv.channels_last import (
    ChannelsLastLayer,
    channels_of,
)


@component(
    "dl_techniques>PixelShuffle",
    kind="layer",
    tags=("upsampling", "vision"),
    paper="arXiv:1609.05158",
    since="0.1",
)
class PixelShuffle(ChannelsLastLayer):
    """Rearrange groups of channels into squares of pixels.

    y[r h + i, r w + j, c] = x[h, w, c r^2 + i r + j]: the r^2 channels of one output channel are
    neighbours, as in PyTorch; TensorFlow's `depth_to_space` has the order (i, j, c).

    Args:
        factor: Side r of the square.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, factor^2 * channels)`; height and width may be unknown.

    Output shape:
        `(batch, factor * height, factor * width, channels)`.

    Raises:
        ValueError: If `factor` is not positive or its square does not divide the channels.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import PixelShuffle
        >>> np.asarray(PixelShuffle(2)(np.arange(4.0).reshape(1, 1, 1, 4)))[0, :, :, 0].tolist()
        [[0.0, 1.0], [2.0, 3.0]]

    References:
        Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
        Convolutional Neural Network", arXiv:1609.05158.
    """

    def __init__(self, factor: Count = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape: Shape) -> None:
        """Check that the channels divide."""
        if channels_of(input_shape) % self.factor**2:
            raise ValueError(
                "The square of `factor` must divide the channels. "
                f"Received: factor={self.factor}, input_shape={tuple(input_shape)}"
            )

    def call(self, inputs: Tensor) -> Tensor:
        """Rearrange."""
        r = self.factor
        _, height, width, _ = ops.shape(inputs)
        channels = inputs.shape[-1] // r**2
        x = ops.reshape(inputs, (-1, height, width, channels, r, r))
        x = ops.transpose(x, (0, 1, 4, 2, 5, 3))
        return ops.reshape(x, (-1, height * r, width * r, channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Height and width times `factor`, channels divided by its square."""
        batch, *sizes, _ = input_shape
        grown = [None if size is None else size * self.factor for size in sizes]
        return (batch, *grown, channels_of(input_shape) // self.factor**2)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Squares of two and of three."""
        yield Example(cls, inputs=TensorSpec((2, 3, 2, 8)))
        yield Example(cls, {"factor": 3}, TensorSpec((2, 2, 3, 9)), name="three")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """A useless factor, channels that do not divide."""
        yield Rejection(cls, {"factor": 2}, "factor", build=(1, 4, 4, 6))
        yield Rejection(cls, {"data_format": "channels_first"}, "data_format")
