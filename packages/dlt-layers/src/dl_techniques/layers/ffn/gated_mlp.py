"""The feed-forward block of gMLP, whose gate mixes tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    InitializerLike,
    PositiveNumber,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    resolve,
    upcast,
)
from dl_techniques.layers.attention.attend import attend
from dl_techniques.layers.ffn.feed_forward import FeedForward
from dl_techniques.layers.parts import build_part, dense_part


@component(
    "dl_techniques>GatedMLP",
    kind="layer",
    tags=("ffn", "gating", "token-mixing"),
    paper="arXiv:2105.08050",
    since="0.1",
)
class GatedMLP(FeedForward):
    """Gated MLP with a spatial gate (gMLP): half of the features gates the other, across tokens.

    (u, v) = split(drop(act(x W_1 + b_1))), v' = W_s LN(v) + b_s, y = drop((u * v') W_2 + b_2)

    W_s (tokens x tokens) mixes the tokens; it starts near zero and b_s at one, so that the block
    starts as a plain one. With `causal=True` a token sees itself and earlier ones only. A tiny
    attention of one head (aMLP) can be added to v'. The block that people also call gated MLP,
    where an activation gates the features of each token by itself, is `GLUFFN`. In float16 the
    last product is computed, and W_2 stored, in float32.

    Masked tokens do not reach others. For images, make tokens of the pixels first.

    Args:
        hidden_dim: Width before the split; even.
        seq_len: Number of tokens; `None` takes the input's, which then must be known.
        output_dim: Width of the output; `None` for that of the input.
        activation: Name, function, layer or configuration; `None` for the identity.
        causal: Whether W_s is lower triangular.
        tiny_attention: Width of the attention's head; `None` for no attention.
        norm_epsilon: Added to the variance in LN.
        spatial_initializer: Initializer of W_s; `None` for normal numbers of scale 1e-6.
        **kwargs: Settings of `FeedForward` (`dropout`, `use_bias`, initializers, regularizers,
            `seed`) and arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, tokens, features)`.

    Output shape:
        `(batch, tokens, output_dim)`.

    Raises:
        ValueError: If a width or a rate is out of range, `hidden_dim` is odd, the input is of
            another rank, or its tokens are unknown or not `seq_len`.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import GatedMLP
        >>> tuple(GatedMLP(6)(keras.ops.ones((2, 5, 4))).shape)
        (2, 5, 4)

    References:
        Liu et al., "Pay Attention to MLPs", arXiv:2105.08050.
    """

    def __init__(
        self,
        hidden_dim: Count,
        seq_len: Count | None = None,
        output_dim: int | None = None,
        activation: ActivationLike | None = "gelu",
        causal: bool = False,
        tiny_attention: Count | None = None,
        norm_epsilon: PositiveNumber = 1e-5,
        spatial_initializer: InitializerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(hidden_dim, output_dim, **kwargs)
        if hidden_dim % 2:
            raise ValueError(
                f"`hidden_dim` must be even, because it is split. Received: hidden_dim={hidden_dim}"
            )
        self.seq_len = seq_len
        self.activation = activation
        self.activation_layer = resolve(activation, kind="activation", dtype=self.dtype_policy)
        self.causal = causal
        self.tiny_attention = tiny_attention
        self.norm_epsilon = norm_epsilon
        self.spatial_initializer = (
            keras.initializers.RandomNormal(stddev=1e-6)
            if spatial_initializer is None
            else keras.initializers.get(spatial_initializer)
        )

    def build(self, input_shape: Shape) -> None:
        """Build the projections, the norm and the attention; create W_s and b_s."""
        tokens = self._tokens(input_shape)
        features, output_dim = self._widths(input_shape)
        assert self.hidden_dim is not None
        half = self.hidden_dim // 2
        self.hidden = dense_part(self, self.hidden_dim, "hidden", features)
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.norm_epsilon, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((*input_shape[:-1], half))
        self.spatial_kernel = self.add_weight(
            name="spatial_kernel", shape=(tokens, tokens), initializer=self.spatial_initializer
        )
        self.spatial_bias = self.add_weight(
            name="spatial_bias", shape=(tokens,), initializer="ones"
        )
        if self.tiny_attention is not None:
            self.attention_qkv = dense_part(
                self, 3 * self.tiny_attention, "attention_qkv", features
            )
            self.attention_output = dense_part(self, half, "attention_output", self.tiny_attention)
        # The product of values and gates, quadratic in the inputs, overflows float16.
        wide = {"dtype": "float32"} if self.compute_dtype == "float16" else {}
        self.output_dense = dense_part(self, output_dim, "output", half, **wide)
        build_part(self.activation_layer, self.hidden.compute_output_shape(input_shape))
        self.hidden_dropout = self._drop()
        self.output_dropout = self._drop(1)

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Widen, gate across tokens, narrow."""
        x = self.activation_layer(self.hidden(inputs))
        u, v = ops.split(self.hidden_dropout(x, training=training), 2, axis=-1)
        gate = self._mix(self.norm(v), mask)
        if self.tiny_attention is not None:
            gate = gate + self._attend(inputs, mask)
        if self.compute_dtype == "float16":
            u, gate = upcast(u), upcast(gate)
        # Products of float64 are float32 in Keras on PyTorch.
        x = ops.cast(self.output_dense(u * gate), self.compute_dtype)
        return self.output_dropout(x, training=training)

    def _mix(self, v: Tensor, mask: Tensor | None) -> Tensor:
        """W_s v + b_s."""
        if mask is not None:
            v = ops.where(ops.expand_dims(ops.cast(mask, "bool"), -1), v, ops.zeros_like(v))
        kernel = ops.convert_to_tensor(self.spatial_kernel)
        if self.causal:
            kernel = kernel * ops.cast(np.tri(kernel.shape[0], dtype="float32"), kernel.dtype)
        return ops.matmul(kernel, v) + ops.expand_dims(self.spatial_bias, -1)

    def _attend(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """The tiny attention: one head over the block's own input."""
        q, k, v = ops.split(ops.expand_dims(self.attention_qkv(inputs), 2), 3, axis=-1)
        attended = attend(q, k, v, padding_mask=mask, causal=self.causal)
        return self.attention_output(ops.squeeze(attended, 2))

    def _tokens(self, input_shape: Shape) -> int:
        if len(input_shape) != 3:
            raise ValueError(
                "The input must be (batch, tokens, features). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        tokens = input_shape[1] if self.seq_len is None else self.seq_len
        if tokens is None or input_shape[1] not in {None, tokens}:
            raise ValueError(
                "`seq_len` must be given if the input's tokens are not known, and else be their "
                f"number. Received: seq_len={self.seq_len}, input_shape={tuple(input_shape)}"
            )
        return tokens

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Causal with attention, plain with dropout."""
        tokens = TensorSpec((2, 5, 4))
        causal: dict[str, Any] = {"hidden_dim": 6, "output_dim": 3, "causal": True}
        causal |= {"tiny_attention": 3, "seq_len": 5, "dropout": 0.5, "seed": 1}
        causal["spatial_initializer"] = keras.initializers.RandomNormal(stddev=0.3, seed=1)
        traits = frozenset({"stochastic"})
        yield Example(cls, causal, tokens, traits=traits, name="causal_attention")
        yield Example(cls, {"hidden_dim": 6}, tokens)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Odd or useless widths, a wrong or unknown number of tokens."""
        yield Rejection(cls, {"hidden_dim": 5}, "hidden_dim")
        yield Rejection(cls, {"hidden_dim": 6, "seq_len": 4}, "seq_len", build=(2, 5, 3))
        yield Rejection(cls, {"hidden_dim": 6}, "seq_len", build=(2, None, 3))
        yield Rejection(cls, {"hidden_dim": 6}, "input_shape", build=(2, 3))
