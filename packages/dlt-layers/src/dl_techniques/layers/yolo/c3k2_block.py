"""The cross-stage partial block whose every intermediate result is kept."""

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
from dl_techniques.layers.yolo.c3k_block import C3kBlock
from dl_techniques.layers.yolo.composite import Composite, share_of


@component(
    "dl_techniques>C3k2Block",
    kind="layer",
    tags=("convolution", "vision", "yolo"),
    paper="arXiv:2502.12524",
    since="0.1",
)
class C3k2Block(Composite):
    """Cross-stage partial block: half of the channels pass through a chain, all results are kept.

    [y_0, y_1] = conv1(x), y_{i+1} = m_i(y_i), y = conv2([y_0, ..., y_{n+1}]), where [,] splits and
    concatenates channels and each m is a bottleneck with a middle of half the width or, with
    `c3k`, a `C3kBlock` of two bottlenecks.

    Args:
        filters: Number of output channels.
        n: Length of the chain.
        c3k: Whether its links are `C3kBlock`s.
        expansion: Share of `filters` that each y_i has, rounded down.
        groups: Groups of the bottlenecks' second convolution.
        shortcut: Whether the bottlenecks have one.
        activation: Activation of all convolutions; see `ConvBlock`.
        kernel_initializer: Initializer of all kernels.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, height, width, filters)`.

    Raises:
        ValueError: If a number is not positive, or `groups` does not divide the channels inside.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import C3k2Block
        >>> tuple(C3k2Block(8, n=2)(keras.ops.ones((1, 5, 5, 4))).shape)
        (1, 5, 5, 8)

    References:
        Tian et al., "YOLOv12: Attention-Centric Real-Time Object Detectors", arXiv:2502.12524.
    """

    def __init__(
        self,
        filters: Count,
        n: Count = 1,
        c3k: bool = False,
        expansion: float = 0.5,
        groups: Count = 1,
        shortcut: bool = True,
        activation: ActivationLike | None = "silu",
        kernel_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(activation, kernel_initializer, **kwargs)
        self.filters = filters
        self.n = n
        self.c3k = c3k
        self.expansion = expansion
        self.groups = groups
        self.shortcut = shortcut
        inner = share_of(filters, expansion)
        self.conv1 = self._conv(2 * inner)
        self.conv2 = self._conv(filters)
        self.chain = [
            C3kBlock(inner, 2, shortcut, groups, **self._shared())
            if c3k
            else Bottleneck(inner, shortcut, groups, **self._shared())
            for _ in range(n)
        ]

    def build(self, input_shape: Shape) -> None:
        """Build the chain and the convolutions around it."""
        self.conv1.build(input_shape)
        inner = self.conv1.filters // 2
        for link in self.chain:
            link.build((*input_shape[:-1], inner))
        self.conv2.build((*input_shape[:-1], (2 + self.n) * inner))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Split, follow the chain, join everything."""
        kept = list(ops.split(self.conv1(inputs, training=training), 2, axis=-1))
        for link in self.chain:
            kept.append(link(kept[-1], training=training))
        return self.conv2(ops.concatenate(kept, axis=-1), training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape with `filters` channels."""
        return (*input_shape[:-1], self.filters)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A chain of two bottlenecks, and one `C3kBlock`."""
        images = TensorSpec((2, 4, 3, 5))
        yield Example(cls, {"filters": 8}, images, traits=BATCH_NORMALIZED)
        yield Example(
            cls,
            {"filters": 8, "n": 2, "c3k": True, "shortcut": False},
            images,
            name="c3k",
            traits=BATCH_NORMALIZED,
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers."""
        yield Rejection(cls, {"filters": 8, "expansion": 0.01}, "expansion")
        yield Rejection(cls, {"filters": 8, "groups": 3}, "groups")
