"""A residual block with an sLSTM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Fraction,
    InitializerLike,
    PositiveNumber,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers import RMSNorm, SwiGLUFFN
from dl_techniques.layers.parts import features_of, fresh_initializer
from dl_techniques.layers.same_shape import SameShape
from dl_techniques.models.tirex.slstm_cell import SLSTMCell


@component(
    "dl_techniques>SLSTMBlock",
    kind="layer",
    tags=("recurrent", "residual", "time-series"),
    paper="arXiv:2505.23719",
    since="0.1",
)
class SLSTMBlock(SameShape):
    """Pre-norm block of TiRex: an sLSTM, then a SwiGLU feed-forward block.

    x <- x + (1 + gamma) GroupNorm(sLSTM(RMSNorm(x))); x <- x + SwiGLU(RMSNorm(x))

    The group norm has a group for each head and position. A token sees itself and earlier ones.

    Args:
        num_heads: Number of heads; divides the features.
        ffn_dim: Width of the feed-forward block; `None` for 8/3 of the features, rounded up to a
            multiple of 64.
        dropout: Rate of dropout at the end of the feed-forward block.
        norm_epsilon: Epsilon of the RMS norms.
        group_norm_epsilon: Epsilon of the group norm.
        kernel_initializer: Initializer of the kernels.
        seed: Seed of dropout.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, tokens, features)`; the tokens may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If a number is out of range, or the features are unknown or no multiple of
            `num_heads`.

    Example:
        >>> import keras
        >>> from dl_techniques.models.tirex import SLSTMBlock
        >>> tuple(SLSTMBlock(num_heads=2)(keras.ops.ones((2, 5, 8))).shape)
        (2, 5, 8)

    References:
        Auer et al., "TiRex: Zero-Shot Forecasting Across Long and Short Horizons with Enhanced
        In-Context Learning", arXiv:2505.23719; Beck et al., "xLSTM", arXiv:2405.04517.
    """

    def __init__(
        self,
        num_heads: Count = 4,
        ffn_dim: Count | None = None,
        dropout: Fraction = 0.0,
        norm_epsilon: PositiveNumber = 1e-6,
        group_norm_epsilon: PositiveNumber = 1e-5,
        kernel_initializer: InitializerLike = "glorot_uniform",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.ffn_dim = ffn_dim
        self.dropout = dropout
        self.norm_epsilon = norm_epsilon
        self.group_norm_epsilon = group_norm_epsilon
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.seed = seed
        self.norm_slstm = RMSNorm(epsilon=norm_epsilon, dtype=self.dtype_policy, name="norm_slstm")
        self.norm_ffn = RMSNorm(epsilon=norm_epsilon, dtype=self.dtype_policy, name="norm_ffn")
        self.ffn = SwiGLUFFN(
            ffn_dim,
            ffn_multiple_of=64,
            dropout=dropout,
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            seed=seed,
            dtype=self.dtype_policy,
            name="ffn",
        )

    def build(self, input_shape: Shape) -> None:
        """Build the projection to the gates, the recurrence and the norms."""
        features = features_of(input_shape)
        if len(input_shape) != 3 or features % self.num_heads:
            raise ValueError(
                "The input must be (batch, tokens, features), the features a multiple of "
                f"`num_heads`. Received: input_shape={tuple(input_shape)}, "
                f"num_heads={self.num_heads}"
            )
        heads, width = self.num_heads, features // self.num_heads
        self.gates = keras.layers.EinsumDense(
            "bthi,hio->btho",
            output_shape=(None, heads, 4 * width),
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            dtype=self.dtype_policy,
            name="gates",
        )
        self.gates.build((None, None, heads, width))
        half = self.compute_dtype in {"float16", "bfloat16"}
        self.cell = SLSTMCell(
            features,
            heads,
            project_inputs=False,
            recurrent_initializer=fresh_initializer(self.kernel_initializer),
            dtype="float32" if half else self.dtype_policy,
            name="cell",
        )
        self.slstm = keras.layers.RNN(
            self.cell, return_sequences=True, dtype=self.cell.dtype_policy, name="slstm"
        )
        self.slstm.build((*input_shape[:2], 4 * features))
        self.group_gamma = self.add_weight(
            name="group_gamma", shape=(features,), initializer="zeros", autocast=False
        )
        for part in (self.norm_slstm, self.norm_ffn, self.ffn):
            part.build(input_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Add both branches."""
        x = inputs + self._recur(self.norm_slstm(inputs))
        return x + self.ffn(self.norm_ffn(x), training=training)

    def _recur(self, x: Tensor) -> Tensor:
        batch, tokens = ops.shape(x)[:2]
        features = x.shape[-1]
        heads = (batch, tokens, self.num_heads, features // self.num_heads)
        gates = self.gates(ops.reshape(x, heads))
        y = upcast(self.slstm(ops.reshape(gates, (batch, tokens, 4 * features))))
        y = ops.reshape(y, heads)
        y = y - ops.mean(y, axis=-1, keepdims=True)
        y = y * ops.rsqrt(ops.mean(ops.square(y), axis=-1, keepdims=True) + self.group_norm_epsilon)
        y = ops.reshape(y, (batch, tokens, features)) * (1.0 + ops.cast(self.group_gamma, y.dtype))
        return ops.cast(y, self.compute_dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default, and a narrow block with dropout."""
        yield Example(cls, {}, TensorSpec((2, 3, 8)))
        config = {"num_heads": 2, "ffn_dim": 5, "dropout": 0.5, "seed": 1}
        traits = frozenset({"stochastic"})
        yield Example(cls, config, TensorSpec((2, 4, 6)), traits=traits, name="dropout")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers out of range, features that cannot be shared among the heads."""
        yield Rejection(cls, {}, "num_heads", build=(2, 3, 6))
        yield Rejection(cls, {}, "input_shape", build=(2, 3, None))
