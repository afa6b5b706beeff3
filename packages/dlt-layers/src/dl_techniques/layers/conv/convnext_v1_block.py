"""The ConvNeXt block with a learnable scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import keras

from dl_techniques.core import Example, Rejection, Shape, Tensor, TensorSpec, component, is_number
from dl_techniques.layers.conv.convnext_block import ConvNeXtBlock
from dl_techniques.layers.layer_scale import LayerScale


@component(
    "dl_techniques>ConvNeXtV1Block",
    kind="layer",
    tags=("convolution", "vision"),
    paper="arXiv:2201.03545",
    since="0.1",
)
class ConvNeXtV1Block(ConvNeXtBlock):
    """ConvNeXt block: a depthwise convolution and an inverted bottleneck as a scaled residual.

    y = x + DropPath(gamma * W_2 act(W_1 LN(DW(x)))), gamma one number a channel.

    With strides or another number of channels the first x is the mean of the pixels that are
    joined, projected to the new channels. Without biases the branch does not become linear in the
    scale of x: the normalization makes it independent of it.

    Args:
        filters: Number of output channels; `None` for the input's.
        kernel_size: Odd size of the depthwise kernel.
        expansion: Width of the hidden features, in `filters`.
        layer_scale_init: Initial gamma; `None` for no gamma.
        **kwargs: Settings of `ConvNeXtBlock` (`strides`, `drop_path`, `use_bias`, `activation`,
            `norm_epsilon`, initializer, regularizers, `seed`, `data_format`) and arguments of
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
        >>> from dl_techniques.layers import ConvNeXtV1Block
        >>> tuple(ConvNeXtV1Block(expansion=2)(keras.ops.ones((2, 3, 4, 4))).shape)
        (2, 3, 4, 4)

    References:
        Liu et al., "A ConvNet for the 2020s", arXiv:2201.03545.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": "the default gamma of 1e-6 hides the gradients of the branch"
    }

    def __init__(
        self,
        filters: int | None = None,
        kernel_size: int = 7,
        expansion: int = 4,
        layer_scale_init: float | None = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, expansion, **kwargs)
        if layer_scale_init is not None and not is_number(layer_scale_init):
            raise ValueError(
                "`layer_scale_init` must be a number or None. "
                f"Received: layer_scale_init={layer_scale_init!r}"
            )
        self.layer_scale_init = layer_scale_init

    def build_version(self, hidden_shape: Shape, output_shape: Shape) -> None:  # noqa: ARG002  # hidden features stay as they are
        """Create gamma."""
        self.layer_scale: Any = None
        if self.layer_scale_init is not None:
            self.layer_scale = LayerScale(
                initializer=keras.initializers.Constant(self.layer_scale_init),
                dtype=self.dtype_policy,
            )
            self.layer_scale.build(output_shape)

    def scale(self, branch: Tensor) -> Tensor:
        """Multiply by gamma."""
        return branch if self.layer_scale is None else self.layer_scale(branch)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A gamma that is large enough to see, and a strided block without biases."""
        images = TensorSpec((2, 3, 4, 4))
        visible = {"kernel_size": 3, "expansion": 2, "layer_scale_init": 0.5, "drop_path": 0.5}
        yield Example(cls, visible, images, traits=frozenset({"stochastic"}))
        strided: dict[str, Any] = {"filters": 6, "kernel_size": 3, "strides": 2, "expansion": 2}
        strided |= {"layer_scale_init": None, "use_bias": False}
        yield Example(cls, strided, images, name="strided")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers."""
        yield Rejection(cls, {"kernel_size": 4}, "kernel_size")
        yield Rejection(cls, {"layer_scale_init": "small"}, "layer_scale_init")
        yield Rejection(cls, {}, "input_shape", build=(2, 5, 4))
        yield Rejection(cls, {"data_format": "channels_first"}, "data_format")
