"""A convolution of complex numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from keras import ops

from dl_techniques.core import Count, Example, Rejection, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.arguments import require_pair
from dl_techniques.layers.complex.complex_kernel import ComplexKernelLayer
from dl_techniques.layers.complex.complex_layer import Parts, part_shape
from dl_techniques.layers.conv.channels_last import channels_of, require_channels_last


@component(
    "dl_techniques>ComplexConv2D",
    kind="layer",
    tags=("complex", "convolution", "vision"),
    paper="arXiv:1705.09792",
    since="0.1",
)
class ComplexConv2D(ComplexKernelLayer):
    """Convolution with complex weights, inputs and outputs.

    y = K * x + b = (K_r * x_r - K_i * x_i + b_r) + i (K_i * x_r + K_r * x_i + b_i)

    The real and imaginary parts of the weights are real weights, because optimizers step wrong on
    complex ones. Both parts are computed by one real convolution with the block kernel
    [[K_r, K_i], [-K_i, K_r]] of twice the channels.

    Args:
        filters: Number of output channels.
        kernel_size: Size of the kernel, one number or (height, width).
        strides: Step of the convolution, one number or (height, width).
        padding: `"valid"` (no padding) or `"same"`.
        dilation_rate: Step within the kernel, one number or (height, width).
        groups: Number of groups of channels that are convolved separately.
        use_bias: Whether to add b.
        kernel_initializer: `"complex_glorot"` or `"complex_he"`: the phase is uniform, the
            magnitude has a Rayleigh distribution with E|K|^2 = 2 / (fan_in + fan_out) or
            2 / fan_in. Or a Keras initializer for each part.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Settings of `ComplexKernelLayer` (`bias_initializer`, `kernel_regularizer`,
            `bias_regularizer`, `kernel_constraint`, `bias_constraint`, `seed`); arguments of
            `keras.layers.Layer`.

    Input shape:
        A complex tensor `(batch, height, width, channels)`, or a pair of real ones, the real and
        the imaginary part; height and width may be unknown.

    Output shape:
        `(batch, H, W, filters)`, a complex tensor or a pair as the input. A complex output has
        float32 parts under half precision, a pair the compute dtype.

    Raises:
        ValueError: If a number is not positive, `padding` is unknown, both `strides` and
            `dilation_rate` are above 1, `groups` does not divide the channels and filters, the
            parts have different shapes, or the input is a real tensor.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from dl_techniques.layers import ComplexConv2D
        >>> images = np.ones((2, 8, 8, 3)) * (1 + 1j)
        >>> y = ComplexConv2D(4, 3, padding="same")(images.astype("complex64"))
        >>> tuple(y.shape), keras.backend.standardize_dtype(y.dtype)
        ((2, 8, 8, 4), 'complex64')

    References:
        Trabelsi et al., "Deep Complex Networks", arXiv:1705.09792.
    """

    def __init__(
        self,
        filters: Count,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: Literal["valid", "same"] = "valid",
        dilation_rate: int | Sequence[int] = 1,
        groups: Count = 1,
        use_bias: bool = True,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(use_bias, **kwargs)
        self._sides = require_pair(kernel_size=kernel_size)
        self._steps = require_pair(strides=strides)
        self._rates = require_pair(dilation_rate=dilation_rate)
        if max(self._steps) > 1 and max(self._rates) > 1:
            raise ValueError(
                "`strides` above 1 cannot be combined with `dilation_rate` above 1. "
                f"Received: strides={strides}, dilation_rate={dilation_rate}"
            )
        if filters % groups:
            raise ValueError(
                f"`groups` must divide `filters`. Received: groups={groups}, filters={filters}"
            )
        self.filters = filters
        self.kernel_size = kernel_size if isinstance(kernel_size, int) else tuple(kernel_size)
        self.strides = strides if isinstance(strides, int) else tuple(strides)
        self.padding = padding
        self.dilation_rate = (
            dilation_rate if isinstance(dilation_rate, int) else tuple(dilation_rate)
        )
        self.groups = groups
        self.data_format = require_channels_last(data_format, type(self).__name__)

    def build(self, input_shape: Any) -> None:
        """Create the parts of the kernel `(height, width, channels / groups, filters)`."""
        shape = part_shape(input_shape)
        channels = channels_of(shape)
        if channels % self.groups:
            raise ValueError(
                "`groups` must divide the channels. "
                f"Received: groups={self.groups}, input_shape={input_shape}"
            )
        self._require_large_enough(shape)
        self.build_kernel((*self._sides, channels // self.groups, self.filters))

    def call_parts(self, real: Tensor, imaginary: Tensor) -> Parts:
        """Convolve both parts at once."""
        self._require_large_enough(real.shape)
        x = ops.stack([self._grouped(real), self._grouped(imaginary)], axis=-2)
        y = ops.conv(
            self._flat(x, 2 * real.shape[-1]),
            self.block_kernel(self.groups),
            strides=self._steps,
            padding=self.padding,
            data_format="channels_last",
            dilation_rate=self._rates,
        )
        y = ops.reshape(y, (*ops.shape(y)[:-1], self.groups, 2, self.filters // self.groups))
        return self.add_bias(*(self._flat(y[..., i, :], self.filters) for i in range(2)))

    def output_shape_of(self, input_shape: Shape) -> Shape:
        """Return the shape of a part of the feature map."""
        sides = zip(input_shape[1:3], self._sides, self._steps, self._rates, strict=True)
        return (input_shape[0], *(self._length(*side) for side in sides), self.filters)

    def _grouped(self, x: Tensor) -> Tensor:
        return ops.reshape(x, (*ops.shape(x)[:-1], self.groups, x.shape[-1] // self.groups))

    @staticmethod
    def _flat(x: Tensor, channels: int) -> Tensor:
        return ops.reshape(x, (*ops.shape(x)[:3], channels))

    def _length(self, size: int | None, side: int, step: int, rate: int) -> int | None:
        if size is None:
            return None
        reach = 0 if self.padding == "same" else rate * (side - 1)
        return -(-(size - reach) // step)

    def _require_large_enough(self, shape: Any) -> None:
        sides = zip(shape[1:3], self._sides, self._rates, strict=True)
        small = any(isinstance(n, int) and n <= rate * (side - 1) for n, side, rate in sides)
        if self.padding == "valid" and small:
            raise ValueError(
                "`kernel_size` must not exceed the image, unless `padding='same'`. Received: "
                f"kernel_size={self.kernel_size}, input_shape={tuple(shape)}"
            )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Plain, grouped and strided, dilated without bias."""
        image = TensorSpec((2, 5, 6, 4))
        plain = {"filters": 3, "kernel_size": 3}
        yield Example(cls, plain, [image, image])
        grouped = {"filters": 2, "kernel_size": (1, 2), "groups": 2, "strides": 2, "seed": 1}
        yield Example(cls, {**grouped, "padding": "same"}, [image, image], name="grouped")
        dilated = {"filters": 2, "kernel_size": 2, "dilation_rate": (2, 1), "use_bias": False}
        dilated["kernel_initializer"] = "complex_he"
        yield Example(cls, dilated, [image, image], name="dilated")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, unknown padding, groups that do not divide, no images."""
        good = {"filters": 4, "kernel_size": 3}
        yield Rejection(cls, {**good, "kernel_size": (3, 3, 3)}, "kernel_size")
        yield Rejection(cls, {**good, "strides": 0}, "strides")
        yield Rejection(cls, {**good, "strides": 2, "dilation_rate": 2}, "strides")
        yield Rejection(cls, {**good, "groups": 3}, "groups")
        yield Rejection(cls, {**good, "groups": 2}, "groups", build=(2, 5, 5, 3))
        yield Rejection(cls, good, "kernel_size", build=(2, 2, 5, 3))
        yield Rejection(cls, good, "input_shape", build=[(2, 5, 5, 3), (2, 5, 5, 2)])
        yield Rejection(cls, good, "input_shape", build=(2, 5, 3))
