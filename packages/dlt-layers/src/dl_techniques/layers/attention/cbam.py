"""Convolutional block attention module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from dl_techniques.core import (
    ActivationLike,
    Example,
    InitializerLike,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.attention.channel_attention import ChannelAttention
from dl_techniques.layers.attention.spatial_attention import SpatialAttention
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer
from dl_techniques.layers.same_shape import SameShape


@component(
    "dl_techniques>CBAM",
    kind="layer",
    tags=("attention", "vision"),
    paper="arXiv:1807.06521",
    since="0.1",
)
class CBAM(SameShape, ChannelsLastLayer):
    """Convolutional block attention module: weighs the channels, then the places of an image.

    x' = M_c(x) * x, y = M_s(x') * x', with `ChannelAttention` M_c and `SpatialAttention` M_s.

    Args:
        reduction_ratio: How many times narrower the hidden layer of M_c is.
        kernel_size: Side of the convolution of M_s, an odd number.
        use_bias: Whether the layers of M_c have biases.
        use_batch_norm: Whether batch normalization follows the convolution of M_s.
        activation: Activation between the layers of M_c.
        kernel_initializer: Initializer of all kernels.
        kernel_regularizer: Regularizer of all kernels.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If `reduction_ratio` is not positive, or `kernel_size` not odd.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import CBAM
        >>> tuple(CBAM(reduction_ratio=2, kernel_size=3)(keras.ops.ones((2, 5, 4, 8))).shape)
        (2, 5, 4, 8)

    References:
        Woo et al., "CBAM: Convolutional Block Attention Module", arXiv:1807.06521.
    """

    def __init__(
        self,
        reduction_ratio: int = 16,
        kernel_size: int = 7,
        use_bias: bool = False,
        use_batch_norm: bool = True,
        activation: ActivationLike | None = "relu",
        kernel_initializer: InitializerLike = "glorot_uniform",
        kernel_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reduction_ratio = reduction_ratio
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.use_batch_norm = use_batch_norm
        self.activation = activation
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        shared = {
            "kernel_initializer": self.kernel_initializer,
            "kernel_regularizer": self.kernel_regularizer,
            "data_format": self.data_format,
            "dtype": self.dtype_policy,
        }
        self.channel_attention = ChannelAttention(
            reduction_ratio, use_bias, activation, name="channel_attention", **shared
        )
        self.spatial_attention = SpatialAttention(
            kernel_size, use_batch_norm=use_batch_norm, name="spatial_attention", **shared
        )

    def build(self, input_shape: Shape) -> None:
        """Build both attentions."""
        self.channel_attention.build(input_shape)
        self.spatial_attention.build(input_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Weigh channels, then places."""
        x = inputs * self.channel_attention(inputs)
        return x * self.spatial_attention(x, training=training)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """With normalization, and by the paper's formula."""
        traits = frozenset({"couples_batch"})
        yield Example(cls, {}, TensorSpec((2, 4, 5, 32)), traits=traits, name="normalized")
        smooth = {"reduction_ratio": 2, "kernel_size": 3, "activation": "gelu"}
        paper = {**smooth, "use_batch_norm": False}
        yield Example(cls, paper, TensorSpec((2, 4, 5, 8)), name="paper")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid settings of its parts."""
        yield Rejection(cls, {"reduction_ratio": 0}, "reduction_ratio")
        yield Rejection(cls, {"kernel_size": 4}, "kernel_size")
        yield Rejection(cls, {}, "input_shape", build=(None, 8))
