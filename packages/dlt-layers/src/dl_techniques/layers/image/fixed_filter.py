"""Base of filters of images that keep the channels apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from dl_techniques.core import PositiveNumber, Shape, Tensor, upcast
from dl_techniques.layers.arguments import require_one_of, require_pair
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.image.borders import BORDERS
from dl_techniques.layers.image.correlate import (
    correlate,
    filtered_size,
    gaussian_size,
    gaussian_taps,
)


class FixedFilter(ChannelsLastLayer):
    """Filter with fixed taps and one output channel for each input channel.

    A subclass implements `filter`.

    Args:
        kernel_size: Number of taps, one number or (vertical, horizontal); `None` for four
            standard deviations on each side.
        sigma: Standard deviation of the Gaussian in pixels.
        padding: `"valid"` or one of `dl_techniques.layers.image.borders.BORDERS`.
        **kwargs: Arguments of `keras.layers.Layer`, and `data_format`.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int] | None = None,
        sigma: PositiveNumber = 1.0,
        padding: str = "same",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_one_of(("valid", *BORDERS), padding=padding)
        self.kernel_size = None if kernel_size is None else require_pair(kernel_size=kernel_size)
        self.sigma = sigma
        self.padding = padding

    def build(self, input_shape: Shape) -> None:
        """Check the input's shape."""
        channels_of(input_shape)
        self.compute_output_shape(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Filter in float32 and return the compute dtype."""
        return ops.cast(self.filter(upcast(inputs)), self.compute_dtype)

    def filter(self, x: Tensor) -> Tensor:
        """Filter images.

        Args:
            x: Float32 images, `(batch, height, width, channels)`.
        """
        raise NotImplementedError

    @property
    def support(self) -> tuple[int, int]:
        """Height and width of the whole filter."""
        size = gaussian_size(self.sigma)
        return (size, size) if self.kernel_size is None else self.kernel_size

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's; smaller by the kernel less one with `"valid"` padding."""
        batch, height, width, channels = input_shape
        new = [
            filtered_size(size, taps, self.padding)
            for size, taps in zip((height, width), self.support, strict=True)
        ]
        return (batch, *new, channels)

    def blur(self, x: Tensor, sigma: float, orders: tuple[int, int] = (0, 0)) -> Tensor:
        """Correlate with a Gaussian or its second derivatives.

        Args:
            x: Float32 images.
            sigma: Standard deviation in pixels.
            orders: For each axis 0 for the Gaussian, or 2 for its second derivative.
        """
        return self.correlate(
            x,
            lambda axis: gaussian_taps(self.support[axis], sigma, orders[axis]),
        )

    def correlate(self, x: Tensor, taps: Callable[[int], Any]) -> Tensor:
        """Correlate with a separable filter, padded as the layer says.

        Args:
            x: Float32 images.
            taps: Taps of the vertical axis, 0, and of the horizontal axis, 1.
        """
        return correlate(x, (taps(0), taps(1)), self.padding)

    def crop(self, x: Tensor) -> Tensor:
        """Cut an image to the size of the output.

        Args:
            x: Images of the input's size.
        """
        if self.padding != "valid":
            return x
        rows, columns = (
            slice((size - 1) // 2, -(size - 1 - (size - 1) // 2) or None) for size in self.support
        )
        return x[:, rows, columns]
