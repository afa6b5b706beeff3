"""Rearrange squares of pixels into channels."""

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
    "dl_techniques>SpaceToDepth",
    kind="layer",
    tags=("downsampling", "vision"),
    paper="arXiv:1609.05158",
    since="0.1",
)
class SpaceToDepth(ChannelsLastLayer):
    """Rearrange squares of pixels into groups of channels, losing nothing.

    y[h, w, c r^2 + i r + j] = x[r h + i, r w + j, c]: the inverse of `PixelShuffle`, with the r^2
    channels of one input channel as neighbours, as in PyTorch.

    Args:
        factor: Side r of the square.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown, and must be
        multiples of `factor`.

    Output shape:
        `(batch, height / factor, width / factor, factor^2 * channels)`.

    Raises:
        ValueError: If `factor` is not positive or does not divide height and width.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import SpaceToDepth
        >>> np.asarray(SpaceToDepth(2)(np.arange(4.0).reshape(1, 2, 2, 1))).ravel().tolist()
        [0.0, 1.0, 2.0, 3.0]

    References:
        Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
        Convolutional Neural Network", arXiv:1609.05158.
    """

    def __init__(self, factor: Count = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape: Shape) -> None:
        """Check that the known sizes divide."""
        channels_of(input_shape)
        self._require_multiples(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Rearrange."""
        self._require_multiples(inputs.shape)
        r = self.factor
        _, height, width, channels = ops.shape(inputs)
        x = ops.reshape(inputs, (-1, height // r, r, width // r, r, channels))
        x = ops.transpose(x, (0, 1, 3, 5, 2, 4))
        return ops.reshape(x, (-1, height // r, width // r, inputs.shape[-1] * r**2))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Height and width divided by `factor`, channels times its square."""
        batch, *sizes, _ = input_shape
        shrunk = [None if size is None else size // self.factor for size in sizes]
        return (batch, *shrunk, channels_of(input_shape) * self.factor**2)

    def _require_multiples(self, shape: Shape) -> None:
        if any(size is not None and size % self.factor for size in shape[1:3]):
            raise ValueError(
                "`factor` must divide height and width. "
                f"Received: factor={self.factor}, input_shape={tuple(shape)}"
            )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Squares of two and of three."""
        yield Example(cls, inputs=TensorSpec((2, 6, 4, 3)))
        yield Example(cls, {"factor": 3}, TensorSpec((2, 3, 6, 2)), name="three")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """A useless factor, sizes that do not divide."""
        yield Rejection(cls, {"factor": 2}, "factor", build=(1, 4, 5, 6))
        yield Rejection(cls, {"data_format": "channels_first"}, "data_format")
