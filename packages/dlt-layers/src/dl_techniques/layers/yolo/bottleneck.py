"""Two convolutions with a shortcut around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
from dl_techniques.layers.yolo.composite import Composite, share_of


@component(
    "dl_techniques>Bottleneck",
    kind="layer",
    tags=("convolution", "vision", "yolo"),
    paper="arXiv:2502.12524",
    since="0.1",
)
class Bottleneck(Composite):
    """Two convolution blocks, the first to fewer channels, with a shortcut around both.

    y = conv2(conv1(x)) + x; the shortcut is there if it is asked for and the channels are equal.

    Args:
        filters: Number of output channels.
        shortcut: Whether to add the input, if it has as many channels.
        groups: Groups of the second convolution.
        kernel_sizes: Odd sizes of the two kernels.
        expansion: Share of `filters` that the first convolution has, rounded down.
        activation: Activation of both; see `ConvBlock`.
        kernel_initializer: Initializer of both kernels.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, height, width, filters)`.

    Raises:
        ValueError: If a number is not positive, an odd one is even, or `groups` does not divide
            the channels of the second convolution.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import Bottleneck
        >>> tuple(Bottleneck(8)(keras.ops.ones((1, 5, 5, 8))).shape)
        (1, 5, 5, 8)

    References:
        Tian et al., "YOLOv12: Attention-Centric Real-Time Object Detectors", arXiv:2502.12524.
    """

    def __init__(
        self,
        filters: Count,
        shortcut: bool = True,
        groups: Count = 1,
        kernel_sizes: tuple[int, int] = (3, 3),
        expansion: float = 0.5,
        activation: ActivationLike | None = "silu",
        kernel_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(activation, kernel_initializer, **kwargs)
        if len(kernel_sizes) != 2:
            raise ValueError(
                f"`kernel_sizes` must be two sizes. Received: kernel_sizes={kernel_sizes}"
            )
        self.filters = filters
        self.shortcut = shortcut
        self.groups = groups
        self.kernel_sizes = tuple(kernel_sizes)
        self.expansion = expansion
        self.conv1 = self._conv(share_of(filters, expansion), kernel_sizes[0])
        self.conv2 = self._conv(filters, kernel_sizes[1], groups=groups)

    def build(self, input_shape: Shape) -> None:
        """Build both convolutions."""
        self.adds_input = self.shortcut and channels_of(input_shape) == self.filters
        self.conv1.build(input_shape)
        self.conv2.build(self.conv1.compute_output_shape(input_shape))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Convolve twice and add the input."""
        x = self.conv2(self.conv1(inputs, training=training), training=training)
        return inputs + x if self.adds_input else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape with `filters` channels."""
        return (*input_shape[:-1], self.filters)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """With and without a shortcut."""
        images = TensorSpec((2, 4, 5, 4))
        yield Example(cls, {"filters": 4}, images, traits=BATCH_NORMALIZED)
        wide = {"filters": 6, "groups": 2, "kernel_sizes": (1, 3), "expansion": 1.0}
        yield Example(cls, wide, images, name="no_shortcut", traits=BATCH_NORMALIZED)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers."""
        yield Rejection(cls, {"filters": 4, "expansion": 0.1}, "expansion")
        yield Rejection(cls, {"filters": 4, "kernel_sizes": (3,)}, "kernel_sizes")
        yield Rejection(cls, {"filters": 4, "kernel_sizes": (3, 4)}, "kernel_size")
        yield Rejection(cls, {"filters": 4, "groups": 3}, "groups")
