"""Convolution, batch normalization, activation: the unit that YOLO networks are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras

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
    component,
    resolve,
)
from dl_techniques.layers.conv.channels_last import (
    BATCH_NORMALIZED,
    ChannelsLastLayer,
    channels_of,
    require_strides_or_dilation,
    strided,
)
from dl_techniques.layers.conv.depthwise import DepthwiseConvolution
from dl_techniques.layers.parts import build_part, call_part


@component(
    "dl_techniques>ConvBlock",
    kind="layer",
    tags=("convolution", "vision", "yolo"),
    paper="arXiv:2502.12524",
    since="0.1",
)
class ConvBlock(ChannelsLastLayer):
    """Convolution without bias, batch normalization, activation.

    y = act(BN(W * x)), with r (k - 1) / 2 zeros on each side of the image for a kernel of size k
    and dilation rate r: also with strides, where Keras's `padding="same"` differs and must be
    asked for.

    Args:
        filters: Number of output channels.
        kernel_size: Odd size k of the square kernel.
        strides: Step on both axes.
        groups: Into how many groups the channels are split; with one group a channel (and as
            many filters) the convolution is depthwise.
        dilation_rate: Distance r of neighbouring taps.
        activation: Name, function, layer or configuration; `None` for the identity.
        norm_momentum: How much of its moving statistics batch normalization keeps at each step.
        norm_epsilon: Added to the variance.
        kernel_initializer: Initializer of the kernel.
        kernel_regularizer: Regularizer of the kernel.
        padding: `"symmetric"`, or `"same"` for what Keras and TensorFlow do with strides.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, height / strides, width / strides, filters)`, rounded up.

    Raises:
        ValueError: If a number is not positive, the kernel's size is even, strides and dilation
            are combined, or `groups` divides the channels or the filters not.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import ConvBlock
        >>> tuple(ConvBlock(16, 3, strides=2)(keras.ops.ones((1, 9, 8, 3))).shape)
        (1, 5, 4, 16)

    References:
        Tian et al., "YOLOv12: Attention-Centric Real-Time Object Detectors", arXiv:2502.12524.
    """

    def __init__(
        self,
        filters: Count,
        kernel_size: Count = 1,
        strides: int = 1,
        groups: Count = 1,
        dilation_rate: int = 1,
        activation: ActivationLike | None = "silu",
        norm_momentum: float = 0.97,
        norm_epsilon: float = 1e-3,
        kernel_initializer: InitializerLike = "glorot_uniform",
        kernel_regularizer: RegularizerLike | None = None,
        padding: Literal["symmetric", "same"] = "symmetric",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(
                "`kernel_size` must be odd, so that the padding is symmetric. "
                f"Received: kernel_size={kernel_size}"
            )
        require_strides_or_dilation(strides, dilation_rate)
        if filters % groups:
            raise ValueError(
                f"`groups` must divide `filters`. Received: groups={groups}, filters={filters}"
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.groups = groups
        self.dilation_rate = dilation_rate
        self.activation = activation
        self.activation_layer = resolve(activation, kind="activation", dtype=self.dtype_policy)
        self.norm_momentum = norm_momentum
        self.norm_epsilon = norm_epsilon
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.padding = padding

    def build(self, input_shape: Shape) -> None:
        """Choose the form of the convolution, and build it and the normalization."""
        channels = channels_of(input_shape)
        if channels % self.groups:
            raise ValueError(
                "`groups` must divide the channels. "
                f"Received: groups={self.groups}, input_shape={tuple(input_shape)}"
            )
        self.zeros = self._zeros()
        self.conv = self._convolution(channels)
        self.norm = keras.layers.BatchNormalization(
            momentum=self.norm_momentum, epsilon=self.norm_epsilon, dtype=self.dtype_policy
        )
        padded = input_shape
        if self.zeros is not None:
            padded = self.zeros.compute_output_shape(input_shape)
        output_shape = self.compute_output_shape(input_shape)
        self.conv.build(padded)
        self.norm.build(output_shape)
        build_part(self.activation_layer, output_shape)

    def _zeros(self) -> Any:
        """The zeros of a strided convolution; elsewhere `"same"` is symmetric already."""
        if self.strides == 1 or self.kernel_size == 1 or self.padding == "same":
            return None
        return keras.layers.ZeroPadding2D(
            self.kernel_size // 2, data_format=self.data_format, dtype=self.dtype_policy
        )

    def _convolution(self, channels: int) -> Any:
        settings: dict[str, Any] = {
            "use_bias": False,
            "kernel_initializer": self.kernel_initializer,
            "kernel_regularizer": self.kernel_regularizer,
            "dtype": self.dtype_policy,
        }
        if self.kernel_size == self.strides == self.groups == 1:
            # A product on the last axis is at least as fast as a 1 x 1 convolution.
            return keras.layers.Dense(self.filters, **settings)
        settings |= {"strides": self.strides, "dilation_rate": self.dilation_rate}
        settings["data_format"] = self.data_format
        if self.groups == channels == self.filters:
            padding = self.padding if self.zeros is None else "valid"
            return DepthwiseConvolution(self.kernel_size, padding=padding, **settings)
        return keras.layers.Conv2D(
            self.filters,
            self.kernel_size,
            padding="same" if self.zeros is None else "valid",
            groups=self.groups,
            **settings,
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Convolve, normalize, activate."""
        x = inputs if self.zeros is None else self.zeros(inputs)
        x = self.norm(self.conv(x), training=training)
        return call_part(self.activation_layer, x, training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Height and width divided by the strides and rounded up."""
        batch, height, width, _ = input_shape
        return (batch, strided(height, self.strides), strided(width, self.strides), self.filters)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A pointwise, a strided grouped and a dilated depthwise convolution."""
        images = TensorSpec((2, 5, 6, 4))
        yield Example(cls, {"filters": 3}, images, traits=BATCH_NORMALIZED)
        strided = {"filters": 6, "kernel_size": 3, "strides": 2, "groups": 2}
        yield Example(cls, strided, images, name="strided", traits=BATCH_NORMALIZED)
        yield Example(
            cls, {**strided, "padding": "same"}, images, traits=BATCH_NORMALIZED, name="same"
        )
        depthwise = {"filters": 4, "kernel_size": 3, "groups": 4, "dilation_rate": 2}
        yield Example(
            cls,
            {**depthwise, "activation": None},
            images,
            name="depthwise",
            traits=BATCH_NORMALIZED,
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, groups that do not divide, no image."""
        yield Rejection(cls, {"filters": 4, "kernel_size": 2}, "kernel_size")
        yield Rejection(cls, {"filters": 4, "groups": 3}, "groups")
        yield Rejection(cls, {"filters": 4, "groups": 2}, "groups", build=(2, 5, 5, 3))
        both = {"filters": 4, "kernel_size": 3, "strides": 2, "dilation_rate": 2}
        yield Rejection(cls, both, "strides")
        yield Rejection(cls, {"filters": 4, "activation": "no such function"}, "activation")
        yield Rejection(cls, {"filters": 4}, "input_shape", build=(2, 5, 3))
        yield Rejection(cls, {"filters": 4, "data_format": "channels_first"}, "data_format")
