"""Attention within areas of a feature map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    InitializerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.attention.attend import attend
from dl_techniques.layers.conv.channels_last import BATCH_NORMALIZED, ChannelsLastLayer, channels_of
from dl_techniques.layers.parts import fresh_initializer
from dl_techniques.layers.same_shape import SameShape
from dl_techniques.layers.yolo.conv_block import ConvBlock


@component(
    "dl_techniques>AreaAttention",
    kind="layer",
    tags=("attention", "vision", "yolo"),
    paper="arXiv:2502.12524",
    since="0.1",
)
class AreaAttention(SameShape, ChannelsLastLayer):
    """Self-attention of the pixels of a feature map, within areas.

    The pixels, row by row, are cut into `area` equal consecutive pieces. Within a piece
    O = softmax(Q K^T / sqrt(d)) V for each head, and y = proj(O + pe(V)), where pe is a depthwise
    convolution over the whole map that tells positions. Q, K and V are one pointwise convolution;
    each head's Q, K and V are neighbours in it. All convolutions are batch-normalized and have no
    activation.

    An area is a stripe of rows if `area` divides the height, and may end within a row otherwise.
    The cost of attention falls by the factor `area`.

    Args:
        num_heads: Number of heads; must divide the channels.
        area: Number of pieces; must divide the number of pixels.
        pe_kernel_size: Odd size of pe's kernel: 7 in the paper's text, 5 in its code.
        kernel_initializer: Initializer of all kernels.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If a number is not positive, the kernel's size even, or `num_heads` or `area`
            does not divide.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import AreaAttention
        >>> tuple(AreaAttention(num_heads=2, area=4)(keras.ops.ones((2, 3, 4, 8))).shape)
        (2, 3, 4, 8)

    References:
        Tian et al., "YOLOv12: Attention-Centric Real-Time Object Detectors", arXiv:2502.12524.
    """

    def __init__(
        self,
        num_heads: Count,
        area: Count = 1,
        pe_kernel_size: Count = 7,
        kernel_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if pe_kernel_size % 2 == 0:
            raise ValueError(
                "`pe_kernel_size` must be odd, so that the padding is symmetric. "
                f"Received: pe_kernel_size={pe_kernel_size}"
            )
        self.num_heads = num_heads
        self.area = area
        self.pe_kernel_size = pe_kernel_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Shape) -> None:
        """Create and build the three convolutions."""
        channels = channels_of(input_shape)
        if channels % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the channels. "
                f"Received: num_heads={self.num_heads}, input_shape={tuple(input_shape)}"
            )
        self._require_areas(input_shape)
        self.qkv = self._conv(3 * channels)
        self.pe = self._conv(channels, self.pe_kernel_size, groups=channels)
        self.proj = self._conv(channels)
        for conv in (self.qkv, self.pe, self.proj):
            conv.build(input_shape)

    def _conv(self, filters: int, kernel_size: int = 1, groups: int = 1) -> ConvBlock:
        return ConvBlock(
            filters,
            kernel_size,
            groups=groups,
            activation=None,
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            data_format=self.data_format,
            dtype=self.dtype_policy,
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Attend within each area, add the positions, project."""
        self._require_areas(inputs.shape)
        _, height, width, _ = ops.shape(inputs)
        channels = inputs.shape[-1]
        qkv = self.qkv(inputs, training=training)
        # Areas become samples.
        tokens = height * width // self.area
        head = channels // self.num_heads
        qkv = ops.reshape(qkv, (-1, tokens, self.num_heads, 3, head))
        q, k, v = (qkv[:, :, :, i] for i in range(3))
        attended = ops.reshape(attend(q, k, v), (-1, height, width, channels))
        v = ops.reshape(v, (-1, height, width, channels))
        return self.proj(attended + self.pe(v, training=training), training=training)

    def _require_areas(self, shape: Shape) -> None:
        height, width = shape[1:3]
        if height is not None and width is not None and height * width % self.area:
            raise ValueError(
                "`area` must divide the number of pixels. "
                f"Received: area={self.area}, input_shape={tuple(shape)}"
            )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The whole map, and areas that end within rows."""
        image = TensorSpec((2, 3, 4, 8))
        yield Example(cls, {"num_heads": 2}, image, traits=BATCH_NORMALIZED)
        areas = {"num_heads": 2, "pe_kernel_size": 3, "area": 4}
        yield Example(cls, areas, image, name="areas", traits=BATCH_NORMALIZED)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Heads and areas that do not divide, an even kernel."""
        yield Rejection(cls, {"num_heads": 3}, "num_heads", build=(1, 4, 4, 8))
        yield Rejection(cls, {"num_heads": 2, "area": 4}, "area", build=(1, 5, 5, 8))
        yield Rejection(cls, {"num_heads": 2, "pe_kernel_size": 4}, "pe_kernel_size")
        yield Rejection(cls, {"num_heads": 2, "data_format": "channels_first"}, "data_format")
