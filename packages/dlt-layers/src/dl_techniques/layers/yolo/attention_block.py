"""Area attention and a small perceptron, each with a shortcut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    InitializerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.conv.channels_last import BATCH_NORMALIZED, channels_of
from dl_techniques.layers.same_shape import SameShape
from dl_techniques.layers.yolo.area_attention import AreaAttention
from dl_techniques.layers.yolo.composite import Composite, share_of


@component(
    "dl_techniques>AttentionBlock",
    kind="layer",
    tags=("attention", "vision", "yolo"),
    paper="arXiv:2502.12524",
    since="0.1",
)
class AttentionBlock(SameShape, Composite):
    """Area attention and a small perceptron, each with a shortcut.

    x' = x + AreaAttention(x), y = x' + conv2(conv1(x')), with pointwise convolutions, the second
    one without activation.

    Args:
        dim: Number of channels of input and output.
        num_heads: Number of heads; must divide `dim`.
        mlp_ratio: Width of the perceptron in `dim`: 1.2 in the large models, 2 in the small.
        area: Number of areas; see `AreaAttention`.
        pe_kernel_size: Odd size of the positional convolution's kernel.
        activation: Activation of the first convolution; see `ConvBlock`.
        kernel_initializer: Initializer of all kernels; `None` for a truncated normal distribution
            of deviation 0.02.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, dim)`; height and width may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If a number is not positive, the kernel's size even, or `num_heads` or `area`
            does not divide, or the input has not `dim` channels.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import AttentionBlock
        >>> tuple(AttentionBlock(4, num_heads=2, area=2)(keras.ops.ones((2, 3, 2, 4))).shape)
        (2, 3, 2, 4)

    References:
        Tian et al., "YOLOv12: Attention-Centric Real-Time Object Detectors", arXiv:2502.12524.
    """

    def __init__(
        self,
        dim: Count,
        num_heads: Count,
        mlp_ratio: float = 1.2,
        area: int = 1,
        pe_kernel_size: int = 7,
        activation: ActivationLike | None = "silu",
        kernel_initializer: InitializerLike | None = None,
        **kwargs: Any,
    ) -> None:
        if kernel_initializer is None:
            kernel_initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        super().__init__(activation, kernel_initializer, **kwargs)
        if dim % num_heads:
            raise ValueError(
                f"`num_heads` must divide `dim`. Received: dim={dim}, num_heads={num_heads}"
            )
        self.dim = dim
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.area = area
        self.pe_kernel_size = pe_kernel_size
        shared = self._shared()
        del shared["activation"]
        self.attention = AreaAttention(num_heads, area, pe_kernel_size, **shared)
        self.mlp1 = self._conv(share_of(dim, mlp_ratio, filters="dim", expansion="mlp_ratio"))
        self.mlp2 = self._conv(dim, activation=None)

    def build(self, input_shape: Shape) -> None:
        """Build attention and perceptron."""
        if channels_of(input_shape) != self.dim:
            raise ValueError(
                "The input must have `dim` channels. "
                f"Received: dim={self.dim}, input_shape={tuple(input_shape)}"
            )
        self.attention.build(input_shape)
        self.mlp1.build(input_shape)
        self.mlp2.build((*input_shape[:-1], self.mlp1.filters))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Add the attention, then the perceptron."""
        x = inputs + self.attention(inputs, training=training)
        return x + self.mlp2(self.mlp1(x, training=training), training=training)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A plain block."""
        plain = {"dim": 4, "num_heads": 2}
        yield Example(cls, plain, TensorSpec((2, 3, 2, 4)), traits=BATCH_NORMALIZED)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers that do not fit."""
        yield Rejection(cls, {"dim": 8, "num_heads": 3}, "num_heads")
        yield Rejection(cls, {"dim": 8, "num_heads": 2, "mlp_ratio": 0.0}, "mlp_ratio")
        yield Rejection(cls, {"dim": 8, "num_heads": 2}, "dim", build=(1, 4, 4, 4))
        yield Rejection(cls, {"dim": 8, "num_heads": 2, "area": 3}, "area", build=(1, 4, 4, 8))
