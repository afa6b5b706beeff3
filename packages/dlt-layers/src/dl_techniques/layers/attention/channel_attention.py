"""Attention over the channels of an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
    component,
    resolve,
    upcast,
)
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.parts import build_part, dense_part


@component(
    "dl_techniques>ChannelAttention",
    kind="layer",
    tags=("attention", "vision"),
    paper="arXiv:1807.06521",
    since="0.1",
)
class ChannelAttention(ChannelsLastLayer):
    """Channel attention of CBAM: the map of weights for the channels of an image.

    M_c = sigmoid(W_1 act(W_0 avg x) + W_1 act(W_0 max x)), average and maximum over height and
    width; the hidden width is max(1, channels // reduction_ratio).

    The layer returns M_c; multiply the image by it, as `CBAM` does.

    Args:
        reduction_ratio: How many times narrower the hidden layer is.
        use_bias: Whether W_0 and W_1 have biases; the paper's formula has none, the authors' code
            has them.
        activation: Activation between W_0 and W_1.
        kernel_initializer: Initializer of W_0 and W_1.
        kernel_regularizer: Regularizer of W_0 and W_1.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, 1, 1, channels)`, between 0 and 1.

    Raises:
        ValueError: If `reduction_ratio` is not positive.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import ChannelAttention
        >>> tuple(ChannelAttention(reduction_ratio=2)(keras.ops.ones((2, 5, 4, 8))).shape)
        (2, 1, 1, 8)

    References:
        Woo et al., "CBAM: Convolutional Block Attention Module", arXiv:1807.06521.
    """

    def __init__(
        self,
        reduction_ratio: Count = 16,
        use_bias: bool = False,
        activation: ActivationLike | None = "relu",
        kernel_initializer: InitializerLike = "glorot_uniform",
        kernel_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reduction_ratio = reduction_ratio
        self.use_bias = use_bias
        self.activation = activation
        self.activation_layer = resolve(activation, kind="activation", dtype=self.dtype_policy)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Build W_0 and W_1."""
        channels = channels_of(input_shape)
        hidden = max(1, channels // self.reduction_ratio)
        self.reduce = dense_part(self, hidden, "reduce")
        self.expand = dense_part(self, channels, "expand")
        self.reduce.build((None, 2, channels))
        self.expand.build((None, 2, hidden))
        build_part(self.activation_layer, (None, 2, hidden))

    def call(self, inputs: Tensor) -> Tensor:
        """Weigh the channels."""
        # The mean of a large float16 image overflows.
        average = ops.cast(ops.mean(upcast(inputs), axis=(1, 2)), inputs.dtype)
        pooled = ops.stack([average, ops.amax(inputs, axis=(1, 2))], axis=1)
        weights = ops.sum(self.expand(self.activation_layer(self.reduce(pooled))), axis=1)
        # Products of float64 are float32 in Keras on PyTorch.
        weights = ops.cast(weights, self.compute_dtype)
        return ops.sigmoid(weights)[:, None, None, :]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """One weight for each channel."""
        return (input_shape[0], 1, 1, input_shape[-1])

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Without and with biases."""
        yield Example(cls, {}, TensorSpec((2, 4, 5, 32)))
        smooth = {"reduction_ratio": 2, "activation": "gelu", "use_bias": True}
        yield Example(cls, smooth, TensorSpec((2, 4, 5, 8)), name="bias")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """An invalid ratio, an unknown activation, an input that is not an image."""
        yield Rejection(cls, {"activation": "no_such"}, "activation")
        yield Rejection(cls, {}, "input_shape", build=(None, 8))
