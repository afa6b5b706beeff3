"""Grouped-query attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import Count, Example, Rejection, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.attention.attend import all_of, attend
from dl_techniques.layers.attention.attention_layer import (
    AttentionLayer,
    merge_heads,
    split_heads,
)
from dl_techniques.layers.embedding.rotary_position_embedding import RotaryPositionEmbedding
from dl_techniques.layers.norms.rms_norm import RMSNorm
from dl_techniques.layers.parts import dense_part


@component(
    "dl_techniques>GroupQueryAttention",
    kind="layer",
    tags=("attention", "transformer"),
    paper="arXiv:2305.13245",
    aliases=("dl_techniques>GroupedQueryAttention",),
    since="0.1",
)
class GroupQueryAttention(AttentionLayer):
    """Grouped-query attention: several query heads share one head of keys and values.

    O = concat_j(softmax(Q_j K_g(j)^T / sqrt(d)) V_g(j)) W_o with g(j) = floor(j Hk / H)

    With Hk = H it is multi-head attention, with Hk = 1 multi-query attention. The cache of keys
    and values shrinks by H / Hk.

    Queries and keys may be normalized over each head (`qk_norm`) and rotated by their position
    (`rope_theta`), in this order. If there are fewer queries than keys, the queries count as the
    last of the keys' tokens, for rotation and for the causal mask alike.

    Args:
        num_heads: Number H of query heads.
        num_kv_heads: Number Hk of key and value heads; divides H.
        head_dim: Width d of a head; by default the query's features divided by H.
        rope_theta: Base of the rotary frequencies, such as 10000; `None` for no rotation.
        rope_percentage: Share of each head's features that is rotated.
        rope_layout: Which features are rotated in pairs, `"interleaved"` or `"half"` (Llama).
        max_seq_len: Positions must be below this, if they are rotated.
        sliding_window: See only keys closer than this: the last `sliding_window` tokens under a
            causal mask, as many on both sides otherwise. `None` to see all.
        qk_norm: Whether to apply `RMSNorm` to each head of the queries and of the keys.
        dropout: Rate of dropped attention weights in training.
        use_bias: Whether the projections have biases.
        fused_projections: Whether one kernel holds W_q, W_k and W_v, in this order, for
            self-attention only.
        **kwargs: Settings of `AttentionLayer` (`use_output_bias`, `kernel_initializer`,
            `bias_initializer`, `kernel_regularizer`, `bias_regularizer`, `kernel_constraint`,
            `bias_constraint`, `seed`); arguments of `keras.layers.Layer`.

    Call arguments:
        query: X, `(batch, T, features)`.
        value: Tokens to attend to, `(batch, S, features)`; by default X.
        key: Their keys, if they are not computed from `value`.
        attention_mask: Which keys each query may see, nonzero = may: `(T, S)`, `(batch, T, S)`
            or `(batch, 1 | H, T, S)`.
        padding_mask: `(batch, S)`, nonzero = a real token; combined with the tokens' own masks.
        use_causal_mask: Whether later tokens are hidden.
        positions: Positions of the queries, `(T,)` or `(batch, T)`, and of the keys too if no
            `value` is given. By default 0, 1, 2, ..., counted with the padding.
        cache: Result of `make_cache` or of the last call: the tokens' keys and values are
            appended to it, and attended to causally.
        return_attention_scores: Whether to return the weights `(batch, H, T, S)` too.

    Input shape:
        `(batch, T, features)`.

    Output shape:
        The query's; with `return_attention_scores` or `cache` a tuple of it, the scores, and the
        new cache.

    Raises:
        ValueError: If the numbers of heads do not divide, an argument is out of range, or shapes
            and masks do not fit together.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import GroupQueryAttention
        >>> layer = GroupQueryAttention(num_heads=4, num_kv_heads=2, rope_theta=10000.0)
        >>> x = np.ones((2, 5, 8), "float32")
        >>> tuple(layer(x, use_causal_mask=True).shape)
        (2, 5, 8)
        >>> cache = layer.make_cache(batch_size=2, length=8)
        >>> y, cache = layer(x, cache=cache)  # then token by token
        >>> y, cache = layer(x[:, -1:], cache=cache)
        >>> tuple(y.shape), int(cache["index"])
        ((2, 1, 8), 6)

    References:
        Ainslie et al., "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head
        Checkpoints", arXiv:2305.13245; Shazeer, "Fast Transformer Decoding", arXiv:1911.02150.
    """

    def __init__(
        self,
        num_heads: int,
        num_kv_heads: Count,
        head_dim: Count | None = None,
        rope_theta: float | None = None,
        rope_percentage: float = 1.0,
        rope_layout: Literal["interleaved", "half"] = "interleaved",
        max_seq_len: Count = 2048,
        sliding_window: Count | None = None,
        qk_norm: bool = False,
        dropout: float = 0.0,
        use_bias: bool = False,
        fused_projections: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_heads, dropout=dropout, use_bias=use_bias, **kwargs)
        if num_heads % num_kv_heads:
            raise ValueError(
                "`num_kv_heads` must divide `num_heads`. "
                f"Received: num_heads={num_heads}, num_kv_heads={num_kv_heads}"
            )
        self.num_kv_heads = num_kv_heads
        self.kv_heads = num_kv_heads
        self.head_dim = head_dim
        self.rope_theta = rope_theta
        self.rope_percentage = rope_percentage
        self.rope_layout = rope_layout
        self.max_seq_len = max_seq_len
        self.sliding_window = sliding_window
        self.qk_norm = qk_norm
        self.fused_projections = fused_projections
        self.rope = (
            RotaryPositionEmbedding(
                max_seq_len=max_seq_len,
                rope_theta=rope_theta,
                rope_percentage=rope_percentage,
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
        """Build projections, norms and the table of rotations."""
        features = query_shape[-1]
        if self.head_dim is None and features is not None and features % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the query's features if `head_dim` is not given. "
                f"Received: num_heads={self.num_heads}, query_shape={tuple(query_shape)}"
            )
        self.key_width = self.head_dim or (features or 0) // self.num_heads
        self.value_width = self.key_width
        super().build(query_shape, value_shape, key_shape)
        head = (None, None, self.num_heads, self.key_width)
        self.query_norm = self.key_norm = None
        if self.qk_norm:
            self.query_norm = RMSNorm(dtype=self.dtype_policy, name="query_norm")
            self.key_norm = RMSNorm(dtype=self.dtype_policy, name="key_norm")
            self.query_norm.build(head)
            self.key_norm.build(head)
        if self.rope is not None:
            self.rope.build(head)

    def build_projections(self, query_shape: Shape, key_shape: Shape, value_shape: Shape) -> None:
        """Create and build one projection, or three.

        Args:
            query_shape: Shape of X.
            key_shape: Shape of the keys' tokens.
            value_shape: Shape of the values' tokens.
        """
        if not self.fused_projections:
            super().build_projections(query_shape, key_shape, value_shape)
            return
        heads = self.num_heads + 2 * self.num_kv_heads
        self.fused_projection = dense_part(self, heads * self.key_width, "query_key_value")
        self.fused_projection.build(query_shape)

    def make_cache(self, batch_size: int, length: int) -> dict[str, Tensor]:
        """An empty cache, for decoding with tensors of a fixed size.

        Args:
            batch_size: Number of sequences.
            length: How many tokens it can hold; what is appended beyond is undefined.

        Returns:
            Tensors "key" and "value" `(batch, length, Hk, d)`, "mask" `(batch, length)`, true
            for real tokens that were appended, and "index", how many were.

        Raises:
            ValueError: If the layer is not built.
        """
        if not self.built:
            raise ValueError("The layer must be built before it can make a cache.")
        shape = (batch_size, length, self.num_kv_heads, self.key_width)
        return {
            "key": ops.zeros(shape, dtype=self.compute_dtype),
            "value": ops.zeros(shape, dtype=self.compute_dtype),
            "mask": ops.zeros(shape[:2], dtype="bool"),
            "index": ops.zeros((), dtype="int32"),
        }

    def call(
        self,
        query: Tensor,
        value: Tensor | None = None,
        key: Tensor | None = None,
        attention_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        mask: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Mapping[str, Tensor] | None = None,
    ) -> Any:
        """Project, rotate, attend, project back."""
        own = value is None and key is None
        if cache is not None and not own:
            raise ValueError("`cache` is for self-attention; it goes with `query` alone.")
        if self.fused_projections and not own:
            raise ValueError(
                "`value` and `key` must be left out with `fused_projections=True`, which is for "
                "self-attention. Received: value or key beside query."
            )
        real = all_of(padding_mask, value_mask, key_mask, *((mask, query_mask) if own else ()))
        value = query if value is None else value
        key = value if key is None else key
        offset = None if cache is None else cache["index"]
        q, k, v = self._project(query, key, value)
        if self.rope is not None:
            start = 0 if offset is None else offset
            lead = start if own else ops.shape(k)[1] - ops.shape(q)[1]
            q = self.rope(q, positions=positions, offset=lead)
            k = self.rope(k, positions=positions if own else None, offset=start)
        if cache is not None:
            cache = _appended(cache, k, v, real)
            k, v, real = cache["key"], cache["value"], cache["mask"]
        result = attend(
            q,
            k,
            v,
            mask=attention_mask,
            padding_mask=real,
            causal=use_causal_mask or cache is not None,
            window=self.sliding_window,
            offset=offset,
            dropout=self.dropout,
            seed=self.seed_generator,
            training=training,
            return_scores=return_attention_scores,
        )
        output, *scores = result if return_attention_scores else (result,)
        output = self.output_projection(merge_heads(output))
        # Products of float64 are float32 in Keras on PyTorch.
        output, *scores = (ops.cast(x, self.compute_dtype) for x in (output, *scores))
        results = (output, *scores, *(() if cache is None else (cache,)))
        return results if len(results) > 1 else output

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Heads of queries, keys and values; the first two normalized."""
        if self.fused_projections:
            heads = split_heads(self.fused_projection(query), self.num_heads + 2 * self.kv_heads)
            ends = [self.num_heads, self.num_heads + self.kv_heads]
            q, k, v = ops.split(heads, ends, axis=2)
        else:
            q = split_heads(self.query_projection(query), self.num_heads)
            k = split_heads(self.key_projection(key), self.kv_heads)
            v = split_heads(self.value_projection(value), self.kv_heads)
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        return q, k, v

    def compute_output_spec(
        self,
        query: Tensor,
        *args: Any,
        cache: Mapping[str, Tensor] | None = None,
        return_attention_scores: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The output, with the scores and the cache if they are wanted."""
        spec = super().compute_output_spec(
            query, *args, return_attention_scores=return_attention_scores, **kwargs
        )
        if cache is None:
            return spec
        output, *_ = spec if return_attention_scores else (spec,)
        scores_shape = (*output.shape[:1], self.num_heads, output.shape[1], cache["key"].shape[1])
        scores = keras.KerasTensor(scores_shape, dtype=self.compute_dtype)
        same = {name: keras.KerasTensor(t.shape, dtype=t.dtype) for name, t in cache.items()}
        return (output, scores, same) if return_attention_scores else (output, same)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Grouped heads; one key head with rotation and norms in a causal window."""
        tokens = TensorSpec((2, 5, 8))
        yield Example(
            cls,
            {"num_heads": 4, "num_kv_heads": 2},
            tokens,
            traits=frozenset({"permutation_equivariant"}),
        )
        yield Example(
            cls,
            {
                "num_heads": 2,
                "num_kv_heads": 1,
                "head_dim": 6,
                "rope_theta": 100.0,
                "sliding_window": 3,
                "qk_norm": True,
            },
            tokens,
            call={"use_causal_mask": True},
            name="one_key_head",
        )
        fused = {"num_heads": 4, "num_kv_heads": 2, "use_bias": True, "fused_projections": True}
        yield Example(cls, fused, tokens, name="fused")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Heads that do not divide, invalid rates and windows."""
        good = {"num_heads": 4, "num_kv_heads": 2}
        yield Rejection(cls, {"num_heads": 4, "num_kv_heads": 3}, "num_kv_heads")
        yield Rejection(cls, {**good, "rope_theta": 10.0, "rope_layout": "quarter"}, "layout")
        yield Rejection(cls, good, "num_heads", build=(None, 5, 10))


def _appended(
    cache: Mapping[str, Tensor], key: Tensor, value: Tensor, real: Tensor | None
) -> dict[str, Tensor]:
    """The cache with the keys, values and mask of further tokens."""
    batch, tokens = ops.shape(key)[:2]
    length = cache["key"].shape[1]
    if isinstance(tokens, int) and isinstance(length, int) and tokens > length:
        raise ValueError(f"`cache` holds {length} tokens. Received: {tokens} tokens")
    index = cache["index"]
    real = ops.ones((batch, tokens), dtype="bool") if real is None else real
    return {
        "key": ops.slice_update(cache["key"], (0, index, 0, 0), key),
        "value": ops.slice_update(cache["value"], (0, index, 0, 0), value),
        "mask": ops.slice_update(cache["mask"], (0, index), real),
        "index": index + tokens,
    }
