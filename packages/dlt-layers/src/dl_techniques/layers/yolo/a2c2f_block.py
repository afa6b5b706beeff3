"""The residual aggregation of attention blocks (R-ELAN)."""

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
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.conv.channels_last import BATCH_NORMALIZED, channels_of
from dl_techniques.layers.layer_scale import LayerScale
from dl_techniques.layers.yolo.attention_block import AttentionBlock
from dl_techniques.layers.yolo.c3k_block import C3kBlock
from dl_techniques.layers.yolo.composite import Composite, share_of

_HEAD = 32
"""Width of a head."""


@component(
    "dl_techniques>A2C2fBlock",
    kind="layer",
    tags=("attention", "vision", "yolo"),
    paper="arXiv:2502.12524",
    since="0.1",
)
class A2C2fBlock(Composite):
    """Chain of pairs of attention blocks, all of whose results are kept (R-ELAN).

    y_0 = conv1(x), y_i = m_i(y_{i-1}), y = conv2([y_0, ..., y_n]), or x + gamma * conv2(...) with
    `residual`. Each m is two `AttentionBlock`s with heads of width 32, or without attention a
    `C3kBlock` of two bottlenecks.

    Args:
        filters: Number of output channels.
        n: Length of the chain.
        area: Number of areas; see `AreaAttention`.
        use_attention: Whether the chain consists of attention blocks.
        residual: Whether to add the input, with a gain gamma that starts at 0.01; only with
            attention, and for inputs with `filters` channels.
        mlp_ratio: Width of the attention blocks' perceptrons.
        expansion: Share of `filters` that each y_i has; with attention a multiple of 32.
        groups: Groups of the bottlenecks' second convolution.
        shortcut: Whether the bottlenecks have one.
        pe_kernel_size: Odd size of the positional convolution's kernel.
        activation: Activation of the convolutions; see `ConvBlock`.
        kernel_initializer: Initializer of the kernels outside of the attention blocks, which have
            their own.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown. With attention,
        `area` must divide the number of pixels.

    Output shape:
        `(batch, height, width, filters)`.

    Raises:
        ValueError: If a number is not positive or does not divide, or `residual` is impossible.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import A2C2fBlock
        >>> tuple(A2C2fBlock(8, use_attention=False)(keras.ops.ones((2, 2, 3, 4))).shape)
        (2, 2, 3, 8)

    References:
        Tian et al., "YOLOv12: Attention-Centric Real-Time Object Detectors", arXiv:2502.12524.
    """

    def __init__(
        self,
        filters: Count,
        n: Count = 1,
        area: Count = 1,
        use_attention: bool = True,
        residual: bool = False,
        mlp_ratio: float = 2.0,
        expansion: float = 0.5,
        groups: Count = 1,
        shortcut: bool = True,
        pe_kernel_size: int = 7,
        activation: ActivationLike | None = "silu",
        kernel_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(activation, kernel_initializer, **kwargs)
        inner = share_of(filters, expansion)
        if use_attention and inner % _HEAD:
            raise ValueError(
                f"`expansion` of `filters` must be a multiple of {_HEAD}, the width of a head. "
                f"Received: expansion={expansion}, filters={filters}"
            )
        if residual and not use_attention:
            raise ValueError(
                "`residual` is for blocks with attention. "
                f"Received: residual={residual}, use_attention={use_attention}"
            )
        self.filters = filters
        self.n = n
        self.area = area
        self.use_attention = use_attention
        self.residual = residual
        self.mlp_ratio = mlp_ratio
        self.expansion = expansion
        self.groups = groups
        self.shortcut = shortcut
        self.pe_kernel_size = pe_kernel_size
        self.conv1 = self._conv(inner)
        self.conv2 = self._conv(filters)
        # Flat: Keras does not save the layers of a list within a list.
        self.chain = [block for _ in range(n) for block in self._step(inner)]
        self.residual_scale = (
            LayerScale(initializer=keras.initializers.Constant(0.01), dtype=self.dtype_policy)
            if residual
            else None
        )

    def _step(self, inner: int) -> list[Any]:
        shared = self._shared()
        if not self.use_attention:
            return [C3kBlock(inner, 2, self.shortcut, self.groups, **shared)]
        del shared["kernel_initializer"]
        heads = inner // _HEAD
        return [
            AttentionBlock(
                inner,
                heads,
                self.mlp_ratio,
                self.area,
                self.pe_kernel_size,
                # Anew for each of the two.
                **{**shared, "activation": self._shared()["activation"]},
            )
            for _ in range(2)
        ]

    def build(self, input_shape: Shape) -> None:
        """Build the chain and the convolutions around it."""
        if self.residual and channels_of(input_shape) != self.filters:
            raise ValueError(
                "`residual` needs an input with `filters` channels. "
                f"Received: filters={self.filters}, input_shape={tuple(input_shape)}"
            )
        self.conv1.build(input_shape)
        inner = self.conv1.filters
        for block in self.chain:
            block.build((*input_shape[:-1], inner))
        self.conv2.build((*input_shape[:-1], (1 + self.n) * inner))
        if self.residual_scale is not None:
            self.residual_scale.build((*input_shape[:-1], self.filters))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Follow the chain, join everything, add the input."""
        x = self.conv1(inputs, training=training)
        kept = [x]
        per_step = len(self.chain) // self.n
        for i, block in enumerate(self.chain, 1):
            x = block(x, training=training)
            if i % per_step == 0:
                kept.append(x)
        y = self.conv2(ops.concatenate(kept, axis=-1), training=training)
        return y if self.residual_scale is None else inputs + self.residual_scale(y)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape with `filters` channels."""
        return (*input_shape[:-1], self.filters)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Attention within areas with a residual, and a `C3kBlock` to other channels."""
        yield Example(cls, {"filters": 64}, TensorSpec((2, 2, 3, 4)), traits=BATCH_NORMALIZED)
        small: dict[str, Any] = {"filters": 32, "expansion": 1.0, "pe_kernel_size": 3}
        small |= {"area": 2, "mlp_ratio": 1.0, "residual": True}
        area = TensorSpec((2, 2, 3, 32))
        yield Example(cls, small, area, name="residual", traits=BATCH_NORMALIZED)
        plain = {"filters": 8, "use_attention": False}
        yield Example(cls, plain, TensorSpec((2, 2, 3, 4)), name="c3k", traits=BATCH_NORMALIZED)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers that do not fit, a residual that cannot be."""
        yield Rejection(cls, {"filters": 48}, "expansion")
        yield Rejection(cls, {"filters": 64, "residual": True}, "residual", build=(1, 4, 4, 32))
        plain = {"filters": 64, "residual": True, "use_attention": False}
        yield Rejection(cls, plain, "residual")
        yield Rejection(cls, {"filters": 64, "area": 3}, "area", build=(1, 4, 4, 32))
