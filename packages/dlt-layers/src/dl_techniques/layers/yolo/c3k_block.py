"""The cross-stage partial block with three pointwise convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
from dl_techniques.layers.conv.channels_last import BATCH_NORMALIZED
from dl_techniques.layers.yolo.bottleneck import Bottleneck
from dl_techniques.layers.yolo.composite import Composite, share_of


@component(
    "dl_techniques>C3kBlock",
    kind="layer",
    tags=("convolution", "vision", "yolo"),
    paper="arXiv:1911.11929",
    since="0.1",
)
class C3kBlock(Composite):
    """Cross-stage partial block: one path through bottlenecks, one past them.

    y = conv3([m_n(...m_1(conv1(x))), conv2(x)]), the m being bottlenecks without a narrow middle
    and [,] the concatenation of channels.

    Args:
        filters: Number of output channels.
        n: Number of bottlenecks.
        shortcut: Whether the bottlenecks have one.
        groups: Groups of the bottlenecks' second convolution.
        expansion: Share of `filters` that each path has, rounded down.
        kernel_size: Odd size of the bottlenecks' kernels.
        activation: Activation of all convolutions; see `ConvBlock`.
        kernel_initializer: Initializer of all kernels.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, height, width, filters)`.

    Raises:
        ValueError: If a number is not positive, the kernel's size is even, or `groups` does not
            divide the channels of a path.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import C3kBlock
        >>> tuple(C3kBlock(8)(keras.ops.ones((1, 5, 5, 4))).shape)
        (1, 5, 5, 8)

    References:
        Wang et al., "CSPNet: A New Backbone that can Enhance Learning Capability of CNN",
        arXiv:1911.11929.
    """

    def __init__(
        self,
        filters: Count,
        n: Count = 2,
        shortcut: bool = True,
        groups: Count = 1,
        expansion: float = 0.5,
        kernel_size: int = 3,
        activation: ActivationLike | None = "silu",
        kernel_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(activation, kernel_initializer, **kwargs)
        self.filters = filters
        self.n = n
        self.shortcut = shortcut
        self.groups = groups
        self.expansion = expansion
        self.kernel_size = kernel_size
        inner = share_of(filters, expansion)
        self.conv1 = self._conv(inner)
        self.conv2 = self._conv(inner)
        self.conv3 = self._conv(filters)
        sizes = (kernel_size, kernel_size)
        self.bottlenecks = [
            Bottleneck(inner, shortcut, groups, sizes, expansion=1.0, **self._shared())
            for _ in range(n)
        ]

    def build(self, input_shape: Shape) -> None:
        """Build both paths and the convolution that joins them."""
        self.conv1.build(input_shape)
        self.conv2.build(input_shape)
        inner_shape = self.conv1.compute_output_shape(input_shape)
        for bottleneck in self.bottlenecks:
            bottleneck.build(inner_shape)
        self.conv3.build((*inner_shape[:-1], 2 * self.conv1.filters))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Join the path through the bottlenecks with the one past them."""
        x = self.conv1(inputs, training=training)
        for bottleneck in self.bottlenecks:
            x = bottleneck(x, training=training)
        joined = ops.concatenate([x, self.conv2(inputs, training=training)], axis=-1)
        return self.conv3(joined, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape with `filters` channels."""
        return (*input_shape[:-1], self.filters)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Two bottlenecks, and one without shortcut."""
        yield Example(cls, {"filters": 4}, TensorSpec((2, 4, 3, 5)), traits=BATCH_NORMALIZED)
        single = {"filters": 8, "n": 1, "shortcut": False, "groups": 2, "kernel_size": 5}
        yield Example(
            cls, single, TensorSpec((2, 4, 3, 8)), name="no_shortcut", traits=BATCH_NORMALIZED
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers."""
        yield Rejection(cls, {"filters": 4, "kernel_size": 2}, "kernel_size")
        yield Rejection(cls, {"filters": 4, "expansion": 0.0}, "expansion")
        yield Rejection(cls, {"filters": 4, "groups": 4}, "groups")
