"""Differential attention."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    Whole,
    component,
    is_number,
)
from dl_techniques.layers.attention.attend import attend
from dl_techniques.layers.attention.attention_layer import AttentionLayer
from dl_techniques.layers.embedding.rotary_position_embedding import RotaryPositionEmbedding
from dl_techniques.layers.norms.rms_norm import RMSNorm


@component(
    "dl_techniques>DifferentialAttention",
    kind="layer",
    tags=("attention", "transformer"),
    paper="arXiv:2410.05258",
    aliases=("dl_techniques>DifferentialMultiHeadAttention",),
    since="0.1",
)
class DifferentialAttention(AttentionLayer):
    """Differential attention: the difference of two attention maps cancels what they share.

    O_h = (softmax(Q1 K1^T / sqrt(d)) - lambda softmax(Q2 K2^T / sqrt(d))) V with V of width 2 d;
    O = concat_h((1 - lambda_init) RMSNorm(O_h)) W_o;
    lambda = exp(lambda_q1 . lambda_k1) - exp(lambda_q2 . lambda_k2) + lambda_init.

    The four vectors of width d are shared by the heads, and
    lambda_init = 0.8 - 0.6 exp(-0.3 layer_index). In training, dropout applies to each of the two
    maps. If there are fewer queries than keys, the queries count as the last of the keys' tokens,
    for rotation and for the causal mask alike.

    Args:
        num_heads: Number h of heads, each with two maps.
        head_dim: Width d of a map's queries and keys; by default the query's features divided
            by 2 h.
        num_kv_heads: Number of heads of keys and values, which divides h; by default h.
        layer_index: How many layers precede this one, from 0.
        lambda_init: Sets lambda_init itself, in the place of `layer_index`.
        rope_theta: Base of rotary frequencies for queries and keys; `None` for no rotation.
        rope_layout: Which features are rotated in pairs, `"interleaved"` (the authors) or
            `"half"`.
        max_seq_len: Positions must be below this, if they are rotated.
        subln_scale: Whether the norm of the heads has a gain, as the authors' has.
        pairing: Where the two maps of head i stand among the 2 h projected ones: at 2 i and
            2 i + 1 (`"adjacent"`, the authors), or at i and i + h (`"split"`, DiffLlama, where
            the halves of the values stand likewise).
        dropout: Rate of dropped attention weights in training.
        use_bias: Whether the projections have biases.
        **kwargs: Settings of `AttentionLayer` (`use_output_bias`, `kernel_initializer`,
            `bias_initializer`, `kernel_regularizer`, `bias_regularizer`, `kernel_constraint`,
            `bias_constraint`, `seed`); arguments of `keras.layers.Layer`.

    Call arguments:
        query: `(batch, T, features)`.
        value: `(batch, S, features)`; by default the query.
        key: `(batch, S, features)`; by default the value.
        attention_mask: Which keys each query may see, nonzero = may: `(T, S)`, `(batch, T, S)`
            or `(batch, 1 | h, T, S)`.
        padding_mask: `(batch, S)`, nonzero = a real token; combined with the tokens' own masks.
        use_causal_mask: Whether later tokens are hidden.
        return_attention_scores: Whether to return the differences `(batch, h, T, S)` too.

    Input shape:
        `(batch, T, features)`.

    Output shape:
        The query's.

    Raises:
        ValueError: If numbers of heads and features do not divide, or an argument is unknown.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import DifferentialAttention
        >>> layer = DifferentialAttention(num_heads=2, lambda_init=0.5)
        >>> x = keras.random.normal((2, 5, 16), seed=0)
        >>> y, scores = layer(x, use_causal_mask=True, return_attention_scores=True)
        >>> tuple(y.shape), tuple(scores.shape)
        ((2, 5, 16), (2, 2, 5, 5))

    References:
        Ye et al., "Differential Transformer", ICLR 2025, arXiv:2410.05258.
    """

    def __init__(
        self,
        num_heads: int,
        head_dim: Count | None = None,
        num_kv_heads: Count | None = None,
        layer_index: Whole = 0,
        lambda_init: float | None = None,
        rope_theta: float | None = None,
        rope_layout: Literal["interleaved", "half"] = "interleaved",
        max_seq_len: Count = 2048,
        subln_scale: bool = True,
        pairing: Literal["adjacent", "split"] = "adjacent",
        dropout: float = 0.0,
        use_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_heads, dropout=dropout, use_bias=use_bias, **kwargs)
        if num_heads % (num_kv_heads or num_heads):
            raise ValueError(
                "`num_kv_heads` must divide `num_heads`. "
                f"Received: num_heads={num_heads}, num_kv_heads={num_kv_heads}"
            )
        if lambda_init is not None and not is_number(lambda_init):
            raise ValueError(f"`lambda_init` must be a number. Received: {lambda_init!r}")
        self.head_dim = head_dim
        self.num_kv_heads = num_kv_heads
        self.kv_heads = num_kv_heads or num_heads
        self.layer_index = layer_index
        self.lambda_init = lambda_init
        self.rope_theta = rope_theta
        self.rope_layout = rope_layout
        self.max_seq_len = max_seq_len
        self.subln_scale = subln_scale
        self.pairing = pairing
        self.rope = (
            RotaryPositionEmbedding(
                max_seq_len=max_seq_len,
                rope_theta=rope_theta,
                layout=rope_layout,
                dtype=self.dtype_policy,
                name="rope",
            )
            if rope_theta is not None
            else None
        )

    def build(
        self,
        query_shape: Shape,
        value_shape: Shape | None = None,
        key_shape: Shape | None = None,
    ) -> None:
        """Build the projections, lambda's vectors and the norm of the heads."""
        features = query_shape[-1]
        if self.head_dim is None and features is not None and features % (2 * self.num_heads):
            raise ValueError(
                "Twice `num_heads` must divide the query's features if `head_dim` is not given. "
                f"Received: num_heads={self.num_heads}, query_shape={tuple(query_shape)}"
            )
        width = self.head_dim or (features or 0) // (2 * self.num_heads)
        self.key_width = self.value_width = 2 * width
        super().build(query_shape, value_shape, key_shape)
        self.lambda_q1, self.lambda_k1, self.lambda_q2, self.lambda_k2 = (
            self.add_weight(
                name=name,
                shape=(width,),
                initializer=keras.initializers.RandomNormal(stddev=0.1),
                autocast=False,
            )
            for name in ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")
        )
        self.head_norm = RMSNorm(
            epsilon=1e-5, use_scale=self.subln_scale, dtype=self.dtype_policy, name="head_norm"
        )
        self.head_norm.build((None, None, self.num_heads, 2 * width))
        if self.rope is not None:
            self.rope.build((None, None, 2 * self.num_heads, width))

    def attention(self, query: Tensor, key: Tensor, value: Tensor, **how: Any) -> Any:
        """The normalized difference of the two maps' outputs, with the difference if wanted."""
        q = self._maps(self.query_projection(query), self.num_heads)
        k = self._maps(self.key_projection(key), self.kv_heads)
        v = self._values(self.value_projection(value))
        if self.rope is not None:
            lead = 0 if key is query else ops.shape(key)[1] - ops.shape(query)[1]
            q, k = self.rope(q, offset=lead), self.rope(k)
        how["mask"] = self._for_both_maps(how["mask"])
        # Both maps weigh the same values.
        result = attend(q, k, ops.concatenate([v, v], axis=2), **how)
        heads, *scores = result if how["return_scores"] else (result,)
        first, second = ops.split(heads, 2, axis=2)
        start, weight = self._start(), self._lambda()
        output = self.head_norm(first - ops.cast(weight, first.dtype) * second) * (1.0 - start)
        if not scores:
            return output
        first, second = ops.split(scores[0], 2, axis=1)
        return output, first - ops.cast(weight, first.dtype) * second

    def _for_both_maps(self, mask: Tensor | None) -> Tensor | None:
        """A mask of each head (B, h, T, S) as (B, 2 h, T, S)."""
        if mask is None or len(mask.shape) != 4 or mask.shape[1] != self.num_heads:
            return mask
        return ops.concatenate([mask, mask], axis=1)

    def _start(self) -> float:
        """lambda_init."""
        if self.lambda_init is not None:
            return self.lambda_init
        return 0.8 - 0.6 * math.exp(-0.3 * self.layer_index)

    def _lambda(self) -> Tensor:
        first = ops.exp(ops.sum(self.lambda_q1 * self.lambda_k1))
        second = ops.exp(ops.sum(self.lambda_q2 * self.lambda_k2))
        return first - second + self._start()

    def _maps(self, x: Tensor, heads: int) -> Tensor:
        """(B, N, 2 heads d) as (B, N, 2 heads, d): the first maps of all heads, then the second."""
        lead, width = ops.shape(x)[:2], x.shape[-1] // (2 * heads)
        if self.pairing == "adjacent":
            x = ops.transpose(ops.reshape(x, (*lead, heads, 2, width)), (0, 1, 3, 2, 4))
        return ops.reshape(x, (*lead, 2 * heads, width))

    def _values(self, x: Tensor) -> Tensor:
        """(B, S, heads 2 d) as (B, S, heads, 2 d)."""
        lead, heads = ops.shape(x)[:2], self.kv_heads
        if self.pairing == "split":
            halves = ops.reshape(x, (*lead, 2, heads, self.value_width // 2))
            x = ops.transpose(halves, (0, 1, 3, 2, 4))
        return ops.reshape(x, (*lead, heads, self.value_width))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default; rotated with grouped heads under a causal mask."""
        tokens = TensorSpec((2, 5, 8))
        yield Example(cls, {"num_heads": 2}, tokens, traits=frozenset({"permutation_equivariant"}))
        yield Example(
            cls,
            {
                "num_heads": 2,
                "head_dim": 4,
                "num_kv_heads": 1,
                "rope_theta": 100.0,
                "pairing": "split",
                "subln_scale": False,
            },
            tokens,
            call={"use_causal_mask": True},
            name="split_rotary_causal",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Heads and features that do not divide, unknown words."""
        yield Rejection(cls, {"num_heads": 4, "num_kv_heads": 3}, "num_kv_heads")
        yield Rejection(cls, {"num_heads": 2, "lambda_init": "big"}, "lambda_init")
        yield Rejection(cls, {"num_heads": 2}, "num_heads", build=(None, 5, 10))
