"""Convolution whose kernel holds functions instead of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    InitializerLike,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    Variable,
    component,
    resolve,
    upcast,
)
from dl_techniques.layers.arguments import require_pair
from dl_techniques.layers.b_spline import b_spline_bases, require_grid
from dl_techniques.layers.conv.channels_last import (
    ChannelsLastLayer,
    channels_of,
    require_strides_or_dilation,
)
from dl_techniques.layers.conv.depthwise import centred
from dl_techniques.layers.parts import build_part, call_part


@component(
    "dl_techniques>ConvolutionalKAN",
    kind="layer",
    tags=("convolution", "kan", "vision"),
    paper="arXiv:2406.13155",
    since="0.1",
)
class ConvolutionalKAN(ChannelsLastLayer):
    """Convolution whose kernel entries are learned functions, sums of B-splines.

    y[p, o] = sum_{d, c} phi_{d,c,o}(x[p + d, c]) with
    phi(x) = w_b act(x) + w_s sum_g c_g B_g(x), B_g being the G + k B-splines of order k on G
    cells of `grid_range`. Beyond the range the splines decay and vanish after k cells; the input
    is not clipped.

    The image is padded first, since B_g(0) is not zero, and the 1 + G + k functions are evaluated
    once a pixel: one ordinary convolution over them is the whole layer.

    Args:
        filters: Number of output channels.
        kernel_size: Size of the kernel, one number for both axes or (height, width).
        strides: Step on both axes.
        padding: `"valid"`, or `"same"` for r (k - 1) zeros in all, half of them on each side, also
            with strides.
        dilation_rate: Distance r of neighbouring taps.
        groups: Into how many groups the channels are split.
        grid_size: Number of cells G.
        spline_order: Order k of the splines, at least one.
        grid_range: Where the grid starts and ends.
        base_activation: act, an activation; see `dl_techniques.core.resolve`.
        use_base: Whether to learn w_b.
        use_scale: Whether to learn w_s; otherwise it is one.
        base_initializer: Initializer of w_b.
        spline_initializer: Initializer of c.
        scale_initializer: Initializer of w_s.
        kernel_regularizer: Regularizer of w_b and of c.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, new height, new width, filters)`, as of a convolution.

    Raises:
        ValueError: If a number is not positive, strides and dilation are combined, the range is
            empty, the padding unknown, or `groups` divides the channels or the filters not.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import ConvolutionalKAN
        >>> tuple(ConvolutionalKAN(4, 3)(keras.ops.ones((1, 5, 6, 2))).shape)
        (1, 3, 4, 4)

    References:
        Bodner et al., "Convolutional Kolmogorov-Arnold Networks", arXiv:2406.13155;
        Liu et al., "KAN: Kolmogorov-Arnold Networks", arXiv:2404.19756.
    """

    def __init__(
        self,
        filters: Count,
        kernel_size: int | tuple[int, int],
        strides: int = 1,
        padding: Literal["valid", "same"] = "valid",
        dilation_rate: int = 1,
        groups: Count = 1,
        grid_size: int = 5,
        spline_order: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        base_activation: ActivationLike | None = "silu",
        use_base: bool = True,
        use_scale: bool = True,
        base_initializer: InitializerLike = "glorot_uniform",
        spline_initializer: InitializerLike | None = None,
        scale_initializer: InitializerLike = "ones",
        kernel_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sizes = require_pair(kernel_size=kernel_size)
        require_strides_or_dilation(strides, dilation_rate)
        if filters % groups:
            raise ValueError(
                f"`groups` must divide `filters`. Received: groups={groups}, filters={filters}"
            )
        require_grid(grid_size, spline_order, grid_range)
        self.filters = filters
        self.kernel_size = sizes
        self.strides = strides
        self.padding = padding
        self.dilation_rate = dilation_rate
        self.groups = groups
        self.grid_size = grid_size
        self.spline_order = spline_order
        self.grid_range = tuple(grid_range)
        self.base_activation = base_activation
        self.activation_layer = resolve(
            base_activation, kind="activation", argument="base_activation", dtype=self.dtype_policy
        )
        self.use_base = use_base
        self.use_scale = use_scale
        self.base_initializer = keras.initializers.get(base_initializer)
        if spline_initializer is None:
            spline_initializer = keras.initializers.RandomNormal(stddev=0.1)
        self.spline_initializer = keras.initializers.get(spline_initializer)
        self.scale_initializer = keras.initializers.get(scale_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Create w_b, c and w_s, for each tap, channel and filter."""
        channels = channels_of(input_shape)
        if channels % self.groups:
            raise ValueError(
                "`groups` must divide the channels. "
                f"Received: groups={self.groups}, input_shape={tuple(input_shape)}"
            )
        taps = (*self.kernel_size, channels // self.groups)
        bases = self.grid_size + self.spline_order
        self.base_kernel: Variable | None = None
        if self.use_base:
            self.base_kernel = self.add_weight(
                name="base_kernel",
                shape=(*taps, self.filters),
                initializer=self.base_initializer,
                regularizer=self.kernel_regularizer,
            )
            # The activation sees the padded image.
            sizes = zip(input_shape[1:3], self._zeros(), strict=True)
            padded = (None if n is None else n + sum(zeros) for n, zeros in sizes)
            build_part(self.activation_layer, (input_shape[0], *padded, channels))
        self.spline_kernel = self.add_weight(
            name="spline_kernel",
            shape=(*taps, bases, self.filters),
            initializer=self.spline_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.spline_scale: Variable | None = None
        if self.use_scale:
            self.spline_scale = self.add_weight(
                name="spline_scale",
                shape=(*taps, self.filters),
                initializer=self.scale_initializer,
            )

    def call(self, inputs: Tensor) -> Tensor:
        """Pad, evaluate the functions at each pixel, convolve."""
        x = inputs
        zeros = self._zeros()
        if any(amount for axis in zeros for amount in axis):
            x = ops.pad(x, ((0, 0), *zeros, (0, 0)))
        features = b_spline_bases(upcast(x), self.grid_size, self.spline_order, *self.grid_range)
        features = ops.cast(features, self.compute_dtype)
        if self.use_base:
            base = ops.expand_dims(call_part(self.activation_layer, x), -1)
            features = ops.concatenate([base, features], axis=-1)
        _, height, width, _, _ = ops.shape(features)
        y: Tensor = ops.conv(
            ops.reshape(features, (-1, height, width, x.shape[-1] * features.shape[-1])),
            self._kernel(),
            strides=self.strides,
            padding="valid",
            data_format="channels_last",
            dilation_rate=self.dilation_rate,
        )
        return y

    def _kernel(self) -> Tensor:
        """All functions' coefficients, channel by channel, as one convolution's kernel."""
        kernel = ops.convert_to_tensor(self.spline_kernel)
        if self.spline_scale is not None:
            kernel = kernel * ops.expand_dims(self.spline_scale, 3)
        if self.base_kernel is not None:
            kernel = ops.concatenate([ops.expand_dims(self.base_kernel, 3), kernel], axis=3)
        return ops.reshape(kernel, (*self.kernel_size, -1, self.filters))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Height and width as of a convolution."""
        zeros = self._zeros()
        new = [
            None
            if size is None
            else (size + sum(zeros[axis]) - self.dilation_rate * (self.kernel_size[axis] - 1) - 1)
            // self.strides
            + 1
            for axis, size in enumerate(input_shape[1:3])
        ]
        return (input_shape[0], *new, self.filters)

    def _zeros(self) -> tuple[tuple[int, int], tuple[int, int]]:
        if self.padding == "valid":
            return (0, 0), (0, 0)
        return centred(self.kernel_size, self.dilation_rate)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Plain; strided, grouped and without base; dilated with quadratic splines."""
        images = TensorSpec((2, 5, 6, 2))
        yield Example(cls, {"filters": 3, "kernel_size": 3}, images)
        grouped = {"filters": 4, "kernel_size": (3, 2), "strides": 2, "padding": "same"}
        grouped |= {"groups": 2, "use_base": False, "use_scale": False}
        yield Example(cls, grouped, images, name="grouped")
        dilated = {"filters": 2, "kernel_size": 2, "dilation_rate": 2, "padding": "same"}
        dilated |= {"spline_order": 2, "grid_size": 3, "grid_range": (-2.0, 2.0)}
        yield Example(cls, dilated, images, name="dilated")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers and an empty range."""
        plain = {"filters": 4, "kernel_size": 3}
        yield Rejection(cls, {"filters": 4, "kernel_size": (3, 3, 3)}, "kernel_size")
        yield Rejection(cls, {**plain, "strides": 2, "dilation_rate": 2}, "strides")
        yield Rejection(cls, {**plain, "spline_order": 0}, "spline_order")
        yield Rejection(cls, {**plain, "grid_range": (1.0, 1.0)}, "grid_range")
        yield Rejection(cls, {**plain, "groups": 3}, "groups")
        yield Rejection(cls, {**plain, "groups": 2}, "groups", build=(1, 5, 5, 3))
        yield Rejection(cls, {**plain, "data_format": "channels_first"}, "data_format")
