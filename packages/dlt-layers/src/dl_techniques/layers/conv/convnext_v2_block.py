"""The ConvNeXt block with global response normalization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import (
    Example,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.conv.convnext_block import ConvNeXtBlock
from dl_techniques.layers.norms.global_response_normalization import GlobalResponseNormalization


@component(
    "dl_techniques>ConvNeXtV2Block",
    kind="layer",
    tags=("convolution", "vision"),
    paper="arXiv:2301.00808",
    since="0.1",
)
class ConvNeXtV2Block(ConvNeXtBlock):
    """ConvNeXt block whose hidden channels compete by global response normalization.

    y = x + DropPath(W_2 GRN(act(W_1 LN(DW(x))))).

    GRN starts as the identity, so the block starts as `ConvNeXtV1Block` without its gamma. With
    strides or another number of channels the first x is the mean of the pixels that are joined,
    projected to the new channels.

    Args:
        **kwargs: Settings of `ConvNeXtBlock` (`filters`, `kernel_size`, `expansion`); settings of
            `ConvNeXtBlock` (`strides`, `drop_path`, `use_bias`, `activation`, `norm_epsilon`,
            initializer, regularizers, `seed`, `data_format`) and arguments of
            `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, height / strides, width / strides, filters)`, rounded up.

    Raises:
        ValueError: If a number is not positive, the kernel's size even, or the rate no
            probability.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import ConvNeXtV2Block
        >>> tuple(ConvNeXtV2Block(expansion=2)(keras.ops.ones((2, 3, 4, 4))).shape)
        (2, 3, 4, 4)

    References:
        Woo et al., "ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders",
        arXiv:2301.00808.
    """

    def build_version(self, hidden_shape: Shape, output_shape: Shape) -> None:  # noqa: ARG002  # the branch stays as it is
        """Create GRN."""
        self.grn = GlobalResponseNormalization(use_bias=self.use_bias, dtype=self.dtype_policy)
        self.grn.build(hidden_shape)

    def respond(self, hidden: Tensor) -> Tensor:
        """Normalize the response."""
        return self.grn(hidden)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The plain block, and a strided one without biases."""
        images = TensorSpec((2, 3, 4, 4))
        yield Example(cls, {}, images)
        strided: dict[str, Any] = {"filters": 6, "kernel_size": 3, "strides": 2, "expansion": 2}
        strided |= {"use_bias": False, "drop_path": 0.5}
        yield Example(cls, strided, images, traits=frozenset({"stochastic"}), name="strided")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers."""
        yield Rejection(cls, {"kernel_size": 4}, "kernel_size")
        yield Rejection(cls, {}, "input_shape", build=(2, 5, 4))
        yield Rejection(cls, {"data_format": "channels_first"}, "data_format")
