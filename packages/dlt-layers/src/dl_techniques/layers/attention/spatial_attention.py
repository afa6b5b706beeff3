"""Attention over the places of an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    Count,
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
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of


@component(
    "dl_techniques>SpatialAttention",
    kind="layer",
    tags=("attention", "vision"),
    paper="arXiv:1807.06521",
    since="0.1",
)
class SpatialAttention(ChannelsLastLayer):
    """Spatial attention of CBAM: the map of weights for the places of an image.

    M_s = sigmoid(f([avg x; max x])), average and maximum over the channels, f a convolution with
    `kernel_size`, and batch normalization if `use_batch_norm`.

    The layer returns M_s; multiply the image by it, as `CBAM` does. The authors' code stacks the
    maximum first: swap the kernel's two input channels to import its weights.

    Args:
        kernel_size: Side of the convolution, an odd number.
        use_bias: Whether the convolution has a bias.
        use_batch_norm: Whether batch normalization (epsilon 1e-5) follows the convolution, as in
            the authors' code; the paper's formula has none.
        kernel_initializer: Initializer of the convolution.
        kernel_regularizer: Regularizer of the convolution.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, height, width, 1)`, between 0 and 1.

    Raises:
        ValueError: If `kernel_size` is not odd.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import SpatialAttention
        >>> tuple(SpatialAttention(kernel_size=3)(keras.ops.ones((2, 5, 4, 8))).shape)
        (2, 5, 4, 1)

    References:
        Woo et al., "CBAM: Convolutional Block Attention Module", arXiv:1807.06521.
    """

    def __init__(
        self,
        kernel_size: Count = 7,
        use_bias: bool = False,
        use_batch_norm: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        kernel_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd. Received: kernel_size={kernel_size}")
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.use_batch_norm = use_batch_norm
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Build the convolution and the normalization."""
        channels_of(input_shape)
        self.conv = keras.layers.Conv2D(
            1,
            self.kernel_size,
            padding="same",
            data_format="channels_last",
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name="conv",
        )
        self.conv.build((None, None, None, 2))
        self.norm = None
        if self.use_batch_norm:
            self.norm = keras.layers.BatchNormalization(
                epsilon=1e-5, dtype=self.dtype_policy, name="norm"
            )
            self.norm.build((None, None, None, 1))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Weigh the places."""
        average = ops.cast(ops.mean(upcast(inputs), axis=-1, keepdims=True), inputs.dtype)
        x = ops.concatenate([average, ops.amax(inputs, axis=-1, keepdims=True)], axis=-1)
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x, training=training)
        return ops.sigmoid(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """One weight for each place."""
        return (*input_shape[:-1], 1)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """With normalization, and by the paper's formula."""
        image = TensorSpec((2, 4, 5, 3))
        yield Example(cls, {}, image, traits=frozenset({"couples_batch"}), name="normalized")
        yield Example(cls, {"kernel_size": 3, "use_batch_norm": False}, image, name="paper")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid or even sides, an input that is not an image."""
        yield Rejection(cls, {"kernel_size": 4}, "kernel_size")
        yield Rejection(cls, {}, "input_shape", build=(None, 8))
