"""Merging of neighbouring tokens of a map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import Count, Example, Rejection, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of, strided
from dl_techniques.layers.norm_choice import choose_norm
from dl_techniques.layers.parts import build_part, call_part


@component(
    "dl_techniques>PatchMerging",
    kind="layer",
    tags=("downsampling", "vision", "transformer"),
    paper="arXiv:2103.14030",
    since="0.1",
)
class PatchMerging(ChannelsLastLayer):
    """Patch merging: joins the channels of 2 x 2 tokens, normalizes and projects them.

    y_rc = W norm([x_(2r, 2c); x_(2r+1, 2c); x_(2r, 2c+1); x_(2r+1, 2c+1)])

    An odd map is padded with zeros at the bottom and on the right, as the published
    implementations do.

    Args:
        filters: Channels of the output; `None` for twice those of the input.
        norm: What normalizes: `"layer"`, `"rms"`, `"none"`, or anything that names or is a layer.
        norm_epsilon: Epsilon of a norm that is chosen by name.
        use_bias: Whether the projection has a bias.
        kernel_initializer: Initializer of W.
        kernel_regularizer: Regularizer of W.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, height / 2, width / 2, filters)`, rounded up.

    Raises:
        ValueError: If `filters` is not positive, or the norm is unknown.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import PatchMerging
        >>> tuple(PatchMerging()(keras.ops.ones((1, 4, 5, 3))).shape)
        (1, 2, 3, 6)

    References:
        Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
        arXiv:2103.14030.
    """

    def __init__(
        self,
        filters: Count | None = None,
        norm: Any = "layer",
        norm_epsilon: float = 1e-5,
        use_bias: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.norm = norm
        self.norm_epsilon = norm_epsilon
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.norm_layer = choose_norm(norm, epsilon=norm_epsilon, dtype=self.dtype_policy)

    def build(self, input_shape: Shape) -> None:
        """Build norm and projection."""
        channels = channels_of(input_shape)
        joined = (*self.compute_output_shape(input_shape)[:-1], 4 * channels)
        build_part(self.norm_layer, joined)
        self.reduction = keras.layers.Dense(
            self.filters or 2 * channels,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name="reduction",
        )
        self.reduction.build(joined)
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Pad, join, normalize, project."""
        batch, height, width, channels = ops.shape(inputs)
        x = ops.pad(inputs, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
        rows, columns = (height + 1) // 2, (width + 1) // 2
        x = ops.reshape(x, (batch, rows, 2, columns, 2, channels))
        # The column in the square is the slower index.
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 4, 2, 5)), (batch, rows, columns, 4 * channels))
        # Products of float64 are float32 in Keras on PyTorch.
        return ops.cast(self.reduction(call_part(self.norm_layer, x, training)), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Half the height and width, rounded up."""
        batch, height, width, channels = input_shape
        filters = self.filters or (None if channels is None else 2 * channels)
        return (batch, strided(height, 2), strided(width, 2), filters)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """An even map, and an odd one."""
        yield Example(cls, {}, TensorSpec((2, 4, 2, 3)))
        odd = {"filters": 5, "norm": "rms", "use_bias": True}
        yield Example(cls, odd, TensorSpec((2, 3, 5, 2)), name="odd")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No channels, an unknown norm, no map."""
        yield Rejection(cls, {"norm": "no_such"}, "norm")
        yield Rejection(cls, {}, "input_shape", build=(2, 4, 3))
