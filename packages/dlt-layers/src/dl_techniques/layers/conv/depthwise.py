"""Depthwise convolution in the form that is fast on the backend at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Example,
    InitializerLike,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.arguments import require_pair
from dl_techniques.layers.conv.channels_last import (
    ChannelsLastLayer,
    channels_of,
    require_strides_or_dilation,
    strided,
)

Padding = tuple[tuple[int, int], tuple[int, int]]

# XLA unrolls one multiply-add a tap; beyond 9 x 9 compiling costs more than it saves.
_MOST_TAPS = 81


def depthwise_conv(
    inputs: Tensor, kernel: Tensor, strides: int, padding: Padding, dilation_rate: int
) -> Tensor:
    """Convolve each channel with its own kernel.

    Three forms, each of them the fastest on its backend and slow on the others.

    XLA on the CPU has no fast depthwise convolution, so on JAX it is written as shifted
    multiply-adds. JAX 0.10.2, two cores, milliseconds, native / shifted:

    | batch x side x side x channels | kernel | forward | forward and gradients |
    |---|---|---|---|
    | 2 x 28 x 28 x 96 | 7 x 7 | 11.2 / 0.4 | 30.6 / 6.8 |
    | 2 x 14 x 14 x 384 | 7 x 7 | 10.8 / 0.8 | 63.3 / 7.3 |
    | 2 x 28 x 28 x 96 | 3 x 3 | 3.9 / 0.2 | 11.9 / 3.1 |
    | 8 x 32 x 32 x 16 | 3 x 3 | 6.2 / 0.2 | 16.7 / 2.8 |
    | 2 x 56 x 56 x 64, strides 2 | 5 x 5 | 8.0 / 0.4 | 47.4 / 5.0 |

    On PyTorch, Keras 3.15 copies a channels-last image into another memory layout and back; the
    same image as a channels-first view is taken as it lies in memory. 2 x 28 x 28 x 192 with
    5 x 5, one core: 1.0 / 0.25.

    Args:
        inputs: `(batch, height, width, channels)`.
        kernel: `(kernel height, kernel width, channels, 1)`.
        strides: Step on both axes.
        padding: Zeros before and after, for height and width.
        dilation_rate: Distance of neighbouring taps on both axes.

    Returns:
        A tensor of the inputs' dtype.
    """
    taps = int(kernel.shape[0]) * int(kernel.shape[1])
    if taps <= _MOST_TAPS and _xla_on_cpu():
        return _shifted(inputs, kernel, strides, padding, dilation_rate)
    same = strides == 1 and padding == centred(kernel.shape[:2], dilation_rate)
    if not same and any(amount for axis in padding for amount in axis):
        inputs = ops.pad(inputs, ((0, 0), *padding, (0, 0)))
    settings = {
        "strides": strides,
        "padding": "same" if same else "valid",
        "dilation_rate": dilation_rate,
    }
    if keras.backend.backend() == "torch":
        view = ops.transpose(inputs, (0, 3, 1, 2))
        y = ops.depthwise_conv(view, kernel, data_format="channels_first", **settings)
        return ops.transpose(y, (0, 2, 3, 1))
    return ops.depthwise_conv(inputs, kernel, data_format="channels_last", **settings)


def centred(kernel_size: Sequence[int], dilation_rate: int) -> Padding:
    """The zeros around an image whose size a kernel with stride one is to keep.

    Args:
        kernel_size: Height and width of the kernel; for an even size the odd zero comes last.
        dilation_rate: Distance of neighbouring taps.
    """
    height, width = (dilation_rate * (int(size) - 1) for size in kernel_size)
    return (height // 2, height - height // 2), (width // 2, width - width // 2)


def _xla_on_cpu() -> bool:
    return keras.backend.backend() == "jax" and all(
        device.startswith("cpu") for device in keras.distribution.list_devices()
    )


def _shifted(
    inputs: Tensor, kernel: Tensor, strides: int, padding: Padding, dilation_rate: int
) -> Tensor:
    """The convolution as a sum of shifted products, accumulated in float32."""
    x, w = upcast(inputs), upcast(ops.squeeze(kernel, -1))
    if strides == 1:
        y = _with_gradients(x, w, padding, dilation_rate)
    else:
        y = _sum_of_taps(x, w, strides, padding, dilation_rate)
    return ops.cast(y, inputs.dtype)


def _with_gradients(x: Tensor, w: Tensor, padding: Padding, dilation_rate: int) -> Tensor:
    """Stride one, with the gradients as shifted products too.

    Left to itself, automatic differentiation pads every tap's gradient to the size of the image
    before it adds them: three times slower for 3 x 3.
    """
    span_y, span_x = (dilation_rate * (int(size) - 1) for size in w.shape[:2])
    (top, bottom), (left, right) = padding
    opposite = ((span_y - top, span_y - bottom), (span_x - left, span_x - right))

    def convolve(x: Tensor, w: Tensor) -> tuple[Tensor, Any]:
        def gradients(upstream: Tensor) -> tuple[Tensor, Tensor]:
            flipped = ops.flip(w, axis=(0, 1))
            by_x = _sum_of_taps(upstream, flipped, 1, opposite, dilation_rate)
            products = [
                ops.sum(ops.sum(tap * upstream, axis=(0, 1)), axis=0)
                for row in _taps(x, w, 1, padding, dilation_rate)
                for tap in row
            ]
            return by_x, ops.reshape(ops.stack(products), w.shape)

        return _sum_of_taps(x, w, 1, padding, dilation_rate), gradients

    differentiable: Tensor = ops.custom_gradient(convolve)(x, w)
    return differentiable


def _sum_of_taps(
    x: Tensor, w: Tensor, strides: int, padding: Padding, dilation_rate: int
) -> Tensor:
    rows = [
        sum(tap * w[i, j] for j, tap in enumerate(row))
        for i, row in enumerate(_taps(x, w, strides, padding, dilation_rate))
    ]
    return sum(rows[1:], rows[0])


def _taps(
    x: Tensor, w: Tensor, strides: int, padding: Padding, dilation_rate: int
) -> Iterator[list[Tensor]]:
    """For each row of the kernel, the image as each of its taps sees it."""
    height, width = (
        (x.shape[axis + 1] + sum(padding[axis]) - dilation_rate * (w.shape[axis] - 1) - 1)
        // strides
        for axis in (0, 1)
    )
    x = ops.pad(x, ((0, 0), *padding, (0, 0)))
    starts_x = [dilation_rate * j for j in range(w.shape[1])]
    columns = [x[:, :, j : j + width * strides + 1 : strides] for j in starts_x]
    for i in range(w.shape[0]):
        start = dilation_rate * i
        yield [column[:, start : start + height * strides + 1 : strides] for column in columns]


@component(
    "dl_techniques>DepthwiseConvolution",
    kind="layer",
    tags=("convolution", "vision"),
    paper="arXiv:1610.02357",
    since="0.1",
)
class DepthwiseConvolution(ChannelsLastLayer):
    """Depthwise convolution with symmetric padding, fast on every backend.

    y[p, c] = sum_d w[d, c] x[s p + r d - o, c] + b[c], for offsets d within the kernel, strides s,
    dilation rate r and o = r (k - 1) / 2 zeros on each side.

    It differs from `keras.layers.DepthwiseConv2D` in two points. With strides, Keras's
    `padding="same"` puts the odd zero at the end, so that an even image is seen one pixel
    further on than by most published weights; here the zeros are the same on both sides. And on
    JAX with only a CPU it is several times as fast.

    Args:
        kernel_size: Size k of the kernel, one number for both axes or (height, width).
        strides: Step s on both axes.
        dilation_rate: Distance r of neighbouring taps on both axes.
        padding: `"symmetric"`, `"valid"` (no padding), or `"same"` as in Keras and TensorFlow.
            For an even k the odd zero comes last.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the kernel.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the kernel.
        bias_regularizer: Regularizer of the bias.
        kernel_constraint: Constraint on the kernel.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, new height, new width, channels)`, where with symmetric padding a size is divided
        by the strides and rounded up (for an odd k).

    Raises:
        ValueError: If a size is not positive, strides and dilation are combined, or the padding
            is unknown.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import DepthwiseConvolution
        >>> blur = DepthwiseConvolution(3, use_bias=False, kernel_initializer="ones")
        >>> ops.convert_to_numpy(blur(ops.ones((1, 3, 3, 1))))[0, :, :, 0].tolist()
        [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]

    References:
        Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions",
        arXiv:1610.02357.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        strides: int = 1,
        dilation_rate: int = 1,
        padding: Literal["symmetric", "valid", "same"] = "symmetric",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sizes = require_pair(kernel_size=kernel_size)
        require_strides_or_dilation(strides, dilation_rate)
        self.kernel_size = sizes
        self.strides = strides
        self.dilation_rate = dilation_rate
        self.padding = padding
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)

    def build(self, input_shape: Shape) -> None:
        """Create the kernel `(height, width, channels, 1)`, as Keras has it, and the bias."""
        channels = channels_of(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels, 1),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = (
            self.add_weight(
                name="bias",
                shape=(channels,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
            )
            if self.use_bias
            else None
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Convolve each channel."""
        kernel = ops.convert_to_tensor(self.kernel)
        zeros = self._zeros(inputs.shape[1:3])
        if zeros is None:
            y = ops.depthwise_conv(
                inputs, kernel, self.strides, padding="same", data_format="channels_last"
            )
        else:
            y = depthwise_conv(inputs, kernel, self.strides, zeros, self.dilation_rate)
        return y if self.bias is None else y + self.bias

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Height and width as the strides and the padding leave them."""
        batch, *sizes, channels = input_shape
        if self.padding == "same":
            return (batch, *(strided(size, self.strides) for size in sizes), channels)
        zeros = self._zeros(sizes)
        assert zeros is not None
        new = [
            None
            if size is None
            else (size + sum(zeros[axis]) - self.dilation_rate * (self.kernel_size[axis] - 1) - 1)
            // self.strides
            + 1
            for axis, size in enumerate(sizes)
        ]
        return (batch, *new, channels)

    def _zeros(self, sizes: Sequence[int | None]) -> Padding | None:
        """The zeros around an image; `None` if they depend on a size that is unknown."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        if self.padding == "symmetric" or self.strides == 1:
            return centred(self.kernel_size, self.dilation_rate)
        if None in sizes:
            return None
        spans = [
            max((-(-size // self.strides) - 1) * self.strides + kernel - size, 0)
            for size, kernel in zip(sizes, self.kernel_size, strict=True)
            if size is not None
        ]
        return (spans[0] // 2, -(-spans[0] // 2)), (spans[1] // 2, -(-spans[1] // 2))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A square kernel, an oblong one with strides, a dilated one without padding."""
        images = TensorSpec((2, 6, 5, 3))
        yield Example(cls, {"kernel_size": 3}, images)
        yield Example(cls, {"kernel_size": (5, 2), "strides": 2}, images, name="strides")
        dilated = {"kernel_size": 2, "dilation_rate": 3, "padding": "valid", "use_bias": False}
        yield Example(cls, dilated, images, name="dilated")
        same = {"kernel_size": 3, "strides": 2, "padding": "same"}
        yield Example(cls, same, images, name="same")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless sizes, strides with dilation, unknown padding, no image."""
        yield Rejection(cls, {"kernel_size": 0}, "kernel_size")
        yield Rejection(cls, {"kernel_size": (3, 3, 3)}, "kernel_size")
        yield Rejection(cls, {"kernel_size": 3, "strides": 0}, "strides")
        yield Rejection(cls, {"kernel_size": 3, "strides": 2, "dilation_rate": 2}, "strides")
        yield Rejection(cls, {"kernel_size": 3}, "input_shape", build=(2, 6, 3))
        yield Rejection(cls, {"kernel_size": 3, "data_format": "channels_first"}, "data_format")
