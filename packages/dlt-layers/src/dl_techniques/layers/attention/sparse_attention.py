"""Attention with weights that are exactly zero."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Literal

from dl_techniques.core import Count, Example, Rejection, TensorSpec, component
from dl_techniques.layers.attention.attend import Normalizer
from dl_techniques.layers.attention.attention_layer import AttentionLayer
from dl_techniques.layers.attention.sparse_maps import entmax15, sparsemax, top_k_softmax


@component(
    "dl_techniques>SparseAttention",
    kind="layer",
    tags=("attention", "sparsity", "transformer"),
    paper="arXiv:1905.05702",
    since="0.1",
)
class SparseAttention(AttentionLayer):
    """Multi-head attention whose weights are exactly zero for most keys.

    O = concat_h(pi(Q K^T / sqrt(d)) V) W_o with pi one of
    sparsemax, pi(z) = argmin_p ||p - z||^2 over distributions p;
    1.5-entmax, pi(z) = max(z / 2 - tau, 0)^2, between it and the softmax;
    top-k, the softmax over the k largest entries, ties included.

    If there are fewer queries than keys, the causal mask counts the queries as the last tokens.

    Args:
        num_heads: Number of heads.
        key_dim: Width d of a head's queries and keys.
        value_dim: Width of a head's values; by default `key_dim`.
        sparsity: `"entmax15"`, `"sparsemax"` or `"topk"`.
        top_k: How many keys a query attends to, for `"topk"` only; all if there are fewer.
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
            or `(batch, 1 | heads, T, S)`.
        padding_mask: `(batch, S)`, nonzero = a real token; combined with the tokens' own masks.
        use_causal_mask: Whether later tokens are hidden.
        return_attention_scores: Whether to return the weights `(batch, heads, T, S)` too.

    Input shape:
        `(batch, T, features)`.

    Output shape:
        The query's.

    Raises:
        ValueError: If `sparsity` is unknown, or `top_k` is missing or not wanted.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import SparseAttention
        >>> layer = SparseAttention(num_heads=2, key_dim=4, sparsity="topk", top_k=2)
        >>> x = keras.random.normal((1, 5, 8), seed=0)
        >>> _, scores = layer(x, return_attention_scores=True)
        >>> int(keras.ops.sum(scores[0, 0, 0] > 0))
        2

    References:
        Martins and Astudillo, "From Softmax to Sparsemax", arXiv:1602.02068; Peters et al.,
        "Sparse Sequence-to-Sequence Models", arXiv:1905.05702; Zhao et al., "Explicit Sparse
        Transformer", arXiv:1912.11637.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: Count,
        value_dim: Count | None = None,
        sparsity: Literal["entmax15", "sparsemax", "topk"] = "entmax15",
        top_k: Count | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_heads, dropout=dropout, use_bias=use_bias, **kwargs)
        if (sparsity == "topk") != (top_k is not None):
            raise ValueError(
                "`top_k` must be given with `sparsity='topk'`, and only then. "
                f"Received: sparsity={sparsity!r}, top_k={top_k}"
            )
        self.key_dim = self.key_width = key_dim
        self.value_dim = value_dim
        self.value_width = value_dim or key_dim
        self.sparsity = sparsity
        self.top_k = top_k

    def normalizer(self, training: bool | None) -> Normalizer | None:  # noqa: ARG002 -- always
        """The sparse map."""
        if self.top_k is not None:
            return functools.partial(top_k_softmax, k=self.top_k)
        return sparsemax if self.sparsity == "sparsemax" else entmax15

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Each map."""
        tokens = TensorSpec((2, 5, 8))
        config = {"num_heads": 2, "key_dim": 4}
        traits, dead = frozenset({"permutation_equivariant"}), ("key/bias",)
        yield Example(cls, config, tokens, traits=traits, dead=dead)
        yield Example(
            cls,
            {**config, "sparsity": "sparsemax"},
            tokens,
            traits=traits,
            name="sparsemax",
            dead=dead,
        )
        yield Example(
            cls,
            {**config, "sparsity": "topk", "top_k": 3, "value_dim": 3},
            tokens,
            call={"use_causal_mask": True},
            name="topk_causal",
            dead=dead,
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """An unknown map, a k that is missing or superfluous."""
        good = {"num_heads": 2, "key_dim": 4}
        yield Rejection(cls, {**good, "sparsity": "topk"}, "top_k")
        yield Rejection(cls, {**good, "top_k": 2}, "top_k")
