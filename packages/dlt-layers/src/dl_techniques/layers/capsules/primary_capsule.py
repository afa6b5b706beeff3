"""From feature maps to capsules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Count,
    Example,
    InitializerLike,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.arguments import (
    require_pair,
)
from dl_techniques.layers.capsules.squash import squash
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of


@component(
    "dl_techniques>PrimaryCapsule",
    kind="layer",
    tags=("capsule", "convolution", "vision"),
    paper="arXiv:1710.09829",
    since="0.1",
)
class PrimaryCapsule(ChannelsLastLayer):
    """Primary capsules: a convolution whose channels are groups of vectors, which are squashed.

    v_n = squash(s_n), where s_n are `dim_capsules` consecutive channels of W * x + b at one
    position; n runs over rows, columns and the capsules of a position, the last one fastest.

    There is no activation but the squashing.

    Args:
        num_capsules: Capsules at each position.
        dim_capsules: Components of a capsule.
        kernel_size: Size of the kernel, one number or (height, width).
        strides: Step of the convolution, one number or (height, width).
        padding: `"valid"` (no padding) or `"same"`.
        use_bias: Whether the convolution has a bias.
        epsilon: See `SquashLayer`.
        kernel_initializer: Initializer of W.
        bias_initializer: Initializer of b.
        kernel_regularizer: Regularizer of W.
        bias_regularizer: Regularizer of b.
        kernel_constraint: Constraint on W.
        bias_constraint: Constraint on b.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, H * W * num_capsules, dim_capsules)`, the convolution's output being H x W.

    Raises:
        ValueError: If a number is not positive, `padding` is unknown, or the image is smaller
            than the kernel.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import PrimaryCapsule
        >>> layer = PrimaryCapsule(num_capsules=32, dim_capsules=8)
        >>> tuple(layer(keras.ops.ones((1, 20, 20, 3))).shape)  # 6 x 6 positions
        (1, 1152, 8)

    References:
        Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", arXiv:1710.09829.
    """

    def __init__(
        self,
        num_capsules: Count,
        dim_capsules: Count,
        kernel_size: int | Sequence[int] = 9,
        strides: int | Sequence[int] = 2,
        padding: Literal["valid", "same"] = "valid",
        use_bias: bool = True,
        epsilon: PositiveNumber = 1e-7,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sides, steps = require_pair(kernel_size=kernel_size), require_pair(strides=strides)
        self.num_capsules = num_capsules
        self.dim_capsules = dim_capsules
        self.kernel_size = kernel_size if isinstance(kernel_size, int) else tuple(kernel_size)
        self.strides = strides if isinstance(strides, int) else tuple(strides)
        self.padding = padding
        self.use_bias = use_bias
        self.epsilon = epsilon
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.conv = keras.layers.Conv2D(
            num_capsules * dim_capsules,
            sides,
            strides=steps,
            padding=padding,
            use_bias=use_bias,
            data_format="channels_last",
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
            name="conv",
        )

    def build(self, input_shape: Shape) -> None:
        """Build the convolution."""
        channels = channels_of(input_shape)
        self._require_large_enough(input_shape)
        self.conv.build((None, None, None, channels))

    def call(self, inputs: Tensor) -> Tensor:
        """Convolve, group and squash."""
        self._require_large_enough(inputs.shape)
        s = self.conv(inputs)
        batch, rows, columns, _ = ops.shape(s)
        s = ops.reshape(s, (batch, rows * columns * self.num_capsules, self.dim_capsules))
        return ops.cast(squash(upcast(s), -1, self.epsilon), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """All capsules of all positions."""
        batch, rows, columns, _ = self.conv.compute_output_shape(input_shape)
        positions = None if rows is None or columns is None else rows * columns
        capsules = None if positions is None else positions * self.num_capsules
        return (batch, capsules, self.dim_capsules)

    def _require_large_enough(self, shape: Any) -> None:
        sizes = zip(shape[1:3], self.conv.kernel_size, strict=True)
        if self.padding == "valid" and any(isinstance(n, int) and n < side for n, side in sizes):
            raise ValueError(
                "`kernel_size` must not exceed the image, unless `padding='same'`. Received: "
                f"kernel_size={self.kernel_size}, input_shape={tuple(shape)}"
            )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A strided convolution, and a padded oblong one without biases."""
        images = TensorSpec((2, 5, 6, 3))
        small = {"num_capsules": 2, "dim_capsules": 3}
        yield Example(cls, small, TensorSpec((2, 9, 10, 3)))
        oblong = {"kernel_size": (1, 3), "strides": 1, "padding": "same", "use_bias": False}
        yield Example(cls, {**small, **oblong}, images, name="padded")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, unknown padding, no image."""
        good = {"num_capsules": 2, "dim_capsules": 3}
        yield Rejection(cls, {**good, "kernel_size": (3, 3, 3)}, "kernel_size")
        yield Rejection(cls, {**good, "strides": 0}, "strides")
        yield Rejection(cls, good, "kernel_size", build=(2, 12, 8, 3))
        yield Rejection(cls, good, "input_shape", build=(2, 12, 4))
        yield Rejection(cls, {**good, "data_format": "channels_first"}, "data_format")
