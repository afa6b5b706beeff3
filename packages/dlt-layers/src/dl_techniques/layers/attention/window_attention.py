"""Attention within windows, with relative positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Fraction,
    InitializerLike,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.arguments import (
    require_pair,
)
from dl_techniques.layers.attention.attend import attend
from dl_techniques.layers.attention.attention_layer import merge_heads, split_heads
from dl_techniques.layers.parts import dense_part
from dl_techniques.layers.same_shape import SameShape


@component(
    "dl_techniques>WindowAttention",
    kind="layer",
    tags=("attention", "vision", "transformer"),
    paper="arXiv:2103.14030",
    since="0.1",
)
class WindowAttention(SameShape):
    """Window attention of the Swin Transformer, with a learnable bias for relative positions.

    O = concat_h(softmax(Q_h K_h^T / sqrt(d) + B_h + mask) V_h) W_o within windows of
    N = height * width tokens, where B_h[i, j] is the table's entry for the displacement of token
    i from token j: row (dy + height - 1) (2 width - 1) + dx + width - 1, column h.

    Args:
        window_size: Side of a window, one number or (height, width).
        num_heads: Number of heads.
        head_dim: Width d of a head; by default the features divided by the number of heads.
        qkv_bias: Whether queries, keys and values have biases; the output always has.
        qk_scale: Factor of the products, in the place of 1 / sqrt(d).
        attention_dropout: Rate of dropped attention weights in training.
        projection_dropout: Rate of dropout after W_o in training.
        kernel_initializer: Initializer of the projections.
        table_initializer: Initializer of the table; `None` for a truncated normal with standard
            deviation 0.02.
        kernel_regularizer: Regularizer of the projections.
        seed: Seed of both dropouts.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Windows of tokens in row-major order. All windows of an image stand together.
        mask: Which tokens see each other in each window of an image, `(windows, N, N)`: boolean
            or integer (nonzero = may), or floating and then added to the products. Or, as Keras
            attaches it, which tokens are real: `(batch * windows, N)`.

    Input shape:
        `(batch * windows, N, features)`.

    Output shape:
        The input's.

    Raises:
        ValueError: If a size is not positive, the number of tokens is another one, or the heads
            do not divide the features.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import WindowAttention
        >>> layer = WindowAttention(window_size=(2, 3), num_heads=2)
        >>> tuple(layer(keras.ops.ones((4, 6, 8))).shape)
        (4, 6, 8)

    References:
        Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
        arXiv:2103.14030.
    """

    def __init__(
        self,
        window_size: int | Sequence[int],
        num_heads: Count,
        head_dim: Count | None = None,
        qkv_bias: bool = True,
        qk_scale: PositiveNumber | None = None,
        attention_dropout: Fraction = 0.0,
        projection_dropout: Fraction = 0.0,
        kernel_initializer: InitializerLike = "glorot_uniform",
        table_initializer: InitializerLike | None = None,
        kernel_regularizer: RegularizerLike | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._window = require_pair(window_size=window_size)
        self.window_size = window_size if isinstance(window_size, int) else tuple(window_size)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.qkv_bias = qkv_bias
        self.qk_scale = qk_scale
        self.attention_dropout = attention_dropout
        self.projection_dropout = projection_dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.table_initializer = (
            keras.initializers.TruncatedNormal(stddev=0.02)
            if table_initializer is None
            else keras.initializers.get(table_initializer)
        )
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.seed = seed
        drops = attention_dropout > 0 or projection_dropout > 0
        self.seed_generator = keras.random.SeedGenerator(seed) if drops else None
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Build the projections and the table of biases."""
        rows, columns = self._window
        features = input_shape[-1]
        if (
            len(input_shape) != 3
            or features is None
            or input_shape[1] not in {None, rows * columns}
        ):
            raise ValueError(
                f"The input must be (windows, {rows * columns}, features) with known features. "
                f"Received: input_shape={tuple(input_shape)}, window_size={self.window_size}"
            )
        if self.head_dim is None and features % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the features if `head_dim` is not given. "
                f"Received: num_heads={self.num_heads}, input_shape={tuple(input_shape)}"
            )
        width = self.num_heads * (self.head_dim or features // self.num_heads)
        self.query_projection, self.key_projection, self.value_projection = (
            dense_part(self, width, name, features, use_bias=self.qkv_bias)
            for name in ("query", "key", "value")
        )
        self.output_projection = dense_part(self, features, "output", width)
        self.relative_position_bias_table = self.add_weight(
            name="relative_position_bias_table",
            shape=((2 * rows - 1) * (2 * columns - 1), self.num_heads),
            initializer=self.table_initializer,
        )
        y, x = (axis.reshape(-1) for axis in np.mgrid[:rows, :columns])
        dy, dx = y[:, None] - y[None], x[:, None] - x[None]
        index = (dy + rows - 1) * (2 * columns - 1) + dx + columns - 1
        self.relative_position_index = index.astype("int32")

    def call(
        self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        """Attend within each window."""
        q, k, v = (
            split_heads(projection(inputs), self.num_heads)
            for projection in (self.query_projection, self.key_projection, self.value_projection)
        )
        how: dict[str, Any] = {
            "scale": self.qk_scale,
            "dropout": self.attention_dropout,
            "seed": self.seed_generator,
            "training": training,
        }
        bias = self._relative_position_bias()
        mask = None if mask is None else ops.convert_to_tensor(mask)
        if mask is not None and len(mask.shape) == 3:
            output = self._attend_all_windows(q, k, v, bias, mask, how)
        else:
            output = attend(q, k, v, bias=bias, padding_mask=mask, **how)
        # Products of float64 are float32 in Keras on PyTorch.
        output = ops.cast(self.output_projection(merge_heads(output)), self.compute_dtype)
        if training and self.projection_dropout > 0:
            output = keras.random.dropout(output, self.projection_dropout, seed=self.seed_generator)
        return output

    def compute_mask(
        self,
        inputs: Tensor,  # noqa: ARG002 -- Keras passes it
        previous_mask: Tensor | None = None,
    ) -> Tensor | None:
        """The mask of the tokens; that of the windows serves here only."""
        windows = previous_mask is not None and len(previous_mask.shape) == 3
        return None if windows else previous_mask

    def _attend_all_windows(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor, how: dict[str, Any]
    ) -> Tensor:
        """The windows of an image as heads: one bias and mask serve the whole batch as they are."""
        windows, tokens = ops.shape(mask)[:2]
        shape = ops.shape(q)
        heads = windows * self.num_heads
        if keras.backend.is_float_dtype(mask.dtype):
            bias = bias + ops.cast(mask, bias.dtype)[:, None]
            bias, allowed = ops.reshape(bias, (1, heads, tokens, tokens)), None
        else:
            bias = ops.tile(bias, (1, windows, 1, 1))
            allowed = ops.repeat(ops.cast(mask, "bool"), self.num_heads, axis=0)[None]
        image = (-1, windows, *shape[1:])
        q, k, v = (
            ops.reshape(
                ops.transpose(ops.reshape(x, image), (0, 2, 1, 3, 4)),
                (-1, tokens, heads, x.shape[-1]),
            )
            for x in (q, k, v)
        )
        output = attend(q, k, v, bias=bias, mask=allowed, **how)
        output = ops.reshape(output, (-1, tokens, windows, *shape[2:]))
        return ops.reshape(ops.transpose(output, (0, 2, 1, 3, 4)), shape)

    def _relative_position_bias(self) -> Tensor:
        """(1, H, N, N)."""
        tokens = self.relative_position_index.shape[0]
        entries = ops.take(
            self.relative_position_bias_table, self.relative_position_index.reshape(-1), axis=0
        )
        entries = ops.reshape(entries, (tokens, tokens, self.num_heads))
        return ops.cast(ops.transpose(entries, (2, 0, 1)), self.compute_dtype)[None]

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Square windows, and oblong ones with wide heads."""
        square = {"window_size": 2, "num_heads": 2}
        yield Example(cls, square, TensorSpec((4, 4, 8)), dead=("key/bias",))
        yield Example(
            cls,
            {"window_size": (2, 3), "num_heads": 2, "head_dim": 3, "qkv_bias": False},
            TensorSpec((2, 6, 4)),
            name="oblong",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Sizes that are invalid or do not fit."""
        good = {"window_size": 2, "num_heads": 2}
        yield Rejection(cls, {**good, "window_size": 0}, "window_size")
        yield Rejection(cls, {**good, "window_size": (2, 2, 2)}, "window_size")
        yield Rejection(cls, good, "window_size", build=(None, 5, 8))
        yield Rejection(cls, good, "num_heads", build=(None, 4, 7))
