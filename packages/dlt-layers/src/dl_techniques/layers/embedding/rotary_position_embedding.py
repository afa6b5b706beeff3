"""Rotary position embedding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    PositiveNumber,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    is_number,
    upcast,
)
from dl_techniques.layers.arguments import require_integers
from dl_techniques.layers.same_shape import SameShape


@component(
    "dl_techniques>RotaryPositionEmbedding",
    kind="layer",
    tags=("embedding", "position", "attention"),
    paper="arXiv:2104.09864",
    since="0.1",
)
class RotaryPositionEmbedding(SameShape):
    """Rotary position embedding (RoPE): rotates pairs of features in proportion to position.

    For a token at position m, the i-th pair of features becomes
    (x1 cos(m theta_i) - x2 sin(m theta_i), x1 sin(m theta_i) + x2 cos(m theta_i)) with
    theta_i = rope_theta^(-2 i / r), i = 0 .. r/2 - 1. So norms stay as they are, and the product
    of a query at m and a key at n depends on m - n alone.

    Only the first r features of each head are rotated: `rope_percentage` of them, rounded down
    to an even number. The frequencies are those of width r, as in GPT-NeoX.

    The table of angles is made in float64 and the rotation done in float32: float16 cannot even
    count beyond 2,048.

    Args:
        head_dim: Width of a head; `None` to take it from the input.
        max_seq_len: Positions must be below this.
        rope_theta: Base of the frequencies.
        rope_percentage: Share of each head's features that is rotated, in (0, 1].
        layout: Which features form a pair: `"interleaved"`, 2 i and 2 i + 1 (the paper), or
            `"half"`, i and i + r/2 (Llama, GPT-NeoX). They differ by a permutation of features,
            so weights trained with one need that one.
        seq_axis: Axis of the tokens: 1 for `(batch, tokens, heads, head_dim)`, 2 for
            `(batch, heads, tokens, head_dim)`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Queries or keys.
        positions: Integers `(tokens,)` or `(batch, tokens)`; by default 0, 1, 2, ... Negative
            ones rotate backwards.
        offset: Added to the default positions, a number or a scalar tensor.

    Input shape:
        `(batch, ..., head_dim)` of rank 3 or more, with the tokens on `seq_axis`.

    Output shape:
        The input's.

    Raises:
        ValueError: If fewer than two features would be rotated, the input does not have
            `head_dim` features, or there are more tokens than `max_seq_len`.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import RotaryPositionEmbedding
        >>> x = keras.ops.ones((1, 3, 1, 2))  # three tokens, one head
        >>> y = keras.ops.convert_to_numpy(RotaryPositionEmbedding()(x))
        >>> y[0, :, 0].astype("float64").round(3).tolist()
        [[1.0, 1.0], [-0.301, 1.382], [-1.325, 0.493]]

    References:
        Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding",
        arXiv:2104.09864; partial rotation: Black et al., "GPT-NeoX-20B", arXiv:2204.06745.
    """

    def __init__(
        self,
        head_dim: int | None = None,
        max_seq_len: Count = 2048,
        rope_theta: PositiveNumber = 10000.0,
        rope_percentage: float = 1.0,
        layout: Literal["interleaved", "half"] = "interleaved",
        seq_axis: Count = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if head_dim is not None:
            require_integers(2, head_dim=head_dim)
        if not is_number(rope_percentage) or not 0 < rope_percentage <= 1:
            raise ValueError(
                "`rope_percentage` must be above 0 and at most 1. "
                f"Received: rope_percentage={rope_percentage!r}"
            )
        self.head_dim = head_dim
        self.max_seq_len = max_seq_len
        self.rope_theta = rope_theta
        self.rope_percentage = rope_percentage
        self.layout = layout
        self.seq_axis = seq_axis
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Compute cos(m theta_i) and sin(m theta_i) for all positions m."""
        rank, width = len(input_shape), input_shape[-1]
        if rank < 3 or self.seq_axis >= rank - 1:
            raise ValueError(
                "The input must have rank 3 or more, and `seq_axis` must be one of its inner axes. "
                f"Received: input_shape={tuple(input_shape)}, seq_axis={self.seq_axis}"
            )
        if width is None or width != (self.head_dim or width):
            raise ValueError(
                "The input must have `head_dim` features. "
                f"Received: input_shape={tuple(input_shape)}, head_dim={self.head_dim}"
            )
        self.rotary_dim = int(width * self.rope_percentage) // 2 * 2
        if not self.rotary_dim:
            raise ValueError(
                "`rope_percentage` must leave at least two features to rotate. Received: "
                f"rope_percentage={self.rope_percentage} of {width} features"
            )
        theta = self.rope_theta ** (-np.arange(0, self.rotary_dim, 2) / self.rotary_dim)
        angles = np.outer(np.arange(self.max_seq_len), theta)
        self.cos, self.sin = np.cos(angles), np.sin(angles)

    def call(
        self, inputs: Tensor, positions: Tensor | None = None, offset: Tensor | int = 0
    ) -> Tensor:
        """Rotate in float32 and return the compute dtype."""
        x = upcast(inputs[..., : self.rotary_dim])
        tokens = ops.shape(inputs)[self.seq_axis]
        cos, sin = (
            self._beside(ops.cast(table, x.dtype), len(inputs.shape))
            for table in self._angles(tokens, positions, offset)
        )
        y = (self._rotate_halves if self.layout == "half" else self._rotate_neighbours)(x, cos, sin)
        y = ops.cast(y, self.compute_dtype)
        if self.rotary_dim == inputs.shape[-1]:
            return y
        return ops.concatenate([y, inputs[..., self.rotary_dim :]], axis=-1)

    def _angles(
        self, tokens: Any, positions: Tensor | None, offset: Tensor | int
    ) -> tuple[Tensor, Tensor]:
        """Cosines and sines ([batch,] tokens, r/2)."""
        known = positions is None and isinstance(tokens, int) and isinstance(offset, int)
        if known and abs(offset) + tokens > self.max_seq_len:
            raise ValueError(
                "Positions must be below `max_seq_len`. Received: "
                f"{tokens} tokens from offset={offset}, max_seq_len={self.max_seq_len}"
            )
        if known and offset >= 0:
            return self.cos[offset : offset + tokens], self.sin[offset : offset + tokens]
        m = ops.arange(tokens) + offset if positions is None else ops.convert_to_tensor(positions)
        m = ops.cast(m, "int32")
        cos, sin = (
            ops.take(ops.convert_to_tensor(table), ops.abs(m), axis=0)
            for table in (self.cos, self.sin)
        )
        return cos, sin * ops.cast(ops.sign(m), sin.dtype)[..., None]

    def _beside(self, table: Tensor, rank: int) -> Tensor:
        """The table with axes of one where the input has axes beside batch, tokens, features."""
        tokens, features = ops.shape(table)[-2:]
        batch = ops.shape(table)[0] if len(table.shape) == 3 else 1
        shape = [batch, *[1] * (rank - 2), features]
        shape[self.seq_axis] = tokens
        return ops.reshape(table, shape)

    def _rotate_halves(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x1, x2 = ops.split(x, 2, axis=-1)
        return ops.concatenate([x1 * cos - x2 * sin, x1 * sin + x2 * cos], axis=-1)

    def _rotate_neighbours(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        # A pair on an axis of its own: strided slices are slow on TensorFlow. And the tables, which
        # are small, are woven instead of the products: PyTorch takes 0.6 of the time.
        pairs = ops.reshape(x, (*ops.shape(x)[:-1], self.rotary_dim // 2, 2))
        swapped = _woven(pairs[..., 1], pairs[..., 0])
        return x * _woven(cos, cos) + swapped * _woven(-sin, sin)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Both layouts, whole and partial, tokens before and after the heads."""
        traits = frozenset({"norm_preserving", "scale_equivariant"})
        yield Example(cls, {}, TensorSpec((2, 5, 3, 4)), traits=traits)
        yield Example(
            cls,
            {"layout": "half", "rope_percentage": 0.5, "seq_axis": 2, "max_seq_len": 16},
            TensorSpec((2, 3, 5, 8)),
            call={"offset": 3},
            traits=traits,
            name="half_partial",
        )
        yield Example(cls, {"head_dim": 6}, TensorSpec((2, 4, 6)), traits=traits, name="no_heads")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Nothing to rotate, unknown pairs, inputs that do not fit."""
        yield Rejection(cls, {"head_dim": 1}, "head_dim")
        yield Rejection(cls, {"head_dim": 4}, "head_dim", build=(2, 5, 3, 6))
        yield Rejection(cls, {"rope_percentage": 0.0}, "rope_percentage")
        yield Rejection(cls, {"rope_percentage": 0.1}, "rope_percentage", build=(2, 5, 3, 8))
        yield Rejection(cls, {"seq_axis": 3}, "seq_axis", build=(2, 5, 3, 8))


def _woven(even: Tensor, odd: Tensor) -> Tensor:
    """The entries of two tensors in turn along the last axis."""
    *sizes, half = ops.shape(even)
    return ops.reshape(ops.stack([even, odd], axis=-1), (*sizes, 2 * half))
