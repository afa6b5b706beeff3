"""Modern Hopfield networks as attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
from dl_techniques.layers.arguments import require_positive_numbers
from dl_techniques.layers.attention.attend import attend
from dl_techniques.layers.attention.attention_layer import AttentionLayer, split_heads


@component(
    "dl_techniques>HopfieldAttention",
    kind="layer",
    tags=("attention", "memory"),
    paper="arXiv:2008.02217",
    since="0.1",
)
class HopfieldAttention(AttentionLayer):
    """Modern Hopfield attention: state patterns move to stored patterns before they read out.

    xi <- softmax(beta xi K^T) K, up to `update_steps_max` times, starting at xi = Q;
    O = concat_h(softmax(beta xi K^T) V) W_o, with Q = R W_q, K = Y W_k, V = Y W_v.

    Each update lowers the energy -lse(beta, K xi) / beta + ||xi||^2 / 2. Without updates and
    without `normalize_patterns` the layer is multi-head attention. A head stops moving once the
    association softmax(beta xi K^T) of no sample has changed by more than `update_steps_eps`
    (Frobenius norm), as in the authors' code; with `update_steps_eps=0` no sample can influence
    another. If there are fewer queries than keys, the causal mask counts the queries as the last
    tokens.

    Args:
        num_heads: Number of heads.
        key_dim: Width d of a head's state and stored patterns.
        value_dim: Width of a head's values; by default `key_dim`.
        update_steps_max: Number of updates before the patterns are read out.
        update_steps_eps: Change of the association below which a head stops.
        beta: Inverse temperature: a number, `"learnable"` for one weight a head that starts at
            1 / sqrt(d), or `None` for 1 / sqrt(d).
        normalize_patterns: Whether to apply layer normalization to each head of Q and K, with one
            gain and bias for both.
        dropout: Rate of dropped associations in training, at the read-out only.
        use_bias: Whether the projections have biases; that of K is part of the patterns.
        **kwargs: Settings of `AttentionLayer` (`use_output_bias`, `kernel_initializer`,
            `bias_initializer`, `kernel_regularizer`, `bias_regularizer`, `kernel_constraint`,
            `bias_constraint`, `seed`); arguments of `keras.layers.Layer`.

    Call arguments:
        query: State patterns R, `(batch, T, features)`.
        value: Stored patterns Y, `(batch, S, features)`; by default R.
        key: Stored patterns for the comparison, if not `value`.
        attention_mask: Which stored patterns each state may see, nonzero = may: `(T, S)`,
            `(batch, T, S)` or `(batch, 1 | heads, T, S)`.
        padding_mask: `(batch, S)`, nonzero = a real pattern; combined with the inputs' own masks.
        use_causal_mask: Whether later patterns are hidden.
        return_attention_scores: Whether to return the last association `(batch, heads, T, S)`.

    Input shape:
        `(batch, T, features)`.

    Output shape:
        The query's.

    Raises:
        ValueError: If a number is out of range or `beta` is neither of the three.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import HopfieldAttention
        >>> layer = HopfieldAttention(num_heads=2, key_dim=4, update_steps_max=3)
        >>> state, stored = keras.ops.ones((2, 5, 8)), keras.ops.ones((2, 7, 6))
        >>> tuple(layer(state, stored).shape)
        (2, 5, 8)

    References:
        Ramsauer et al., "Hopfield Networks is All You Need", arXiv:2008.02217.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: Count,
        value_dim: Count | None = None,
        update_steps_max: Whole = 0,
        update_steps_eps: float = 1e-4,
        beta: float | str | None = None,
        normalize_patterns: bool = True,
        dropout: float = 0.0,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_heads, dropout=dropout, use_bias=use_bias, **kwargs)
        if not is_number(update_steps_eps) or update_steps_eps < 0:
            raise ValueError(
                "`update_steps_eps` must not be negative. "
                f"Received: update_steps_eps={update_steps_eps}"
            )
        if beta is not None and beta != "learnable":
            require_positive_numbers(beta=beta)
        self.key_dim = self.key_width = key_dim
        self.value_dim = value_dim
        self.value_width = value_dim or key_dim
        self.update_steps_max = update_steps_max
        self.update_steps_eps = update_steps_eps
        self.beta = beta
        self.normalize_patterns = normalize_patterns

    def build(
        self,
        query_shape: Shape,
        value_shape: Shape | None = None,
        key_shape: Shape | None = None,
    ) -> None:
        """Build the projections, beta and the norm of the patterns."""
        super().build(query_shape, value_shape, key_shape)
        self.beta_weight = (
            self.add_weight(
                name="beta",
                shape=(self.num_heads,),
                initializer=keras.initializers.Constant(self.key_dim**-0.5),
                autocast=False,
            )
            if self.beta == "learnable"
            else None
        )
        self.pattern_norm = None
        if self.normalize_patterns:
            self.pattern_norm = keras.layers.LayerNormalization(
                epsilon=1e-5, dtype=self.dtype_policy, name="pattern_norm"
            )
            self.pattern_norm.build((None, None, self.num_heads, self.key_dim))

    def attention(self, query: Tensor, key: Tensor, value: Tensor, **how: Any) -> Any:
        """Move the states, then read out."""
        xi = split_heads(self.query_projection(query), self.num_heads)
        k = split_heads(self.key_projection(key), self.num_heads)
        v = split_heads(self.value_projection(value), self.num_heads)
        if self.pattern_norm is not None:
            xi, k = self.pattern_norm(xi), self.pattern_norm(k)
        masks = {name: how[name] for name in ("mask", "padding_mask", "causal")}
        association = None
        for _ in range(self.update_steps_max):
            moved, current = self._associate(
                xi, k, k, **masks, return_scores=self.update_steps_eps > 0
            )
            if association is not None:
                moved = ops.where(self._moving(association, current), moved, xi)
            xi, association = moved, current
        output, scores = self._associate(xi, k, v, **how)
        return (output, scores) if how["return_scores"] else output

    def _associate(self, xi: Tensor, k: Tensor, v: Tensor, **how: Any) -> tuple[Tensor, Tensor]:
        """One attention at inverse temperature beta; the scores only if they are wanted."""
        if self.beta_weight is not None:
            xi = xi * ops.cast(self.beta_weight, xi.dtype)[:, None]
        scale = self.beta if isinstance(self.beta, int | float) else self.key_dim**-0.5
        result = attend(xi, k, v, scale=1.0 if self.beta_weight is not None else scale, **how)
        return result if how["return_scores"] else (result, None)

    def _moving(self, before: Tensor, now: Tensor) -> Tensor:
        """Return which heads still change, as (1, 1, H, 1)."""
        change = ops.cast(ops.stop_gradient(now - before), "float32")
        norms = ops.sqrt(ops.sum(ops.square(change), axis=(2, 3)))
        return (ops.max(norms, axis=0) > self.update_steps_eps)[None, None, :, None]

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """No update, and two with a learnable temperature."""
        tokens = TensorSpec((2, 5, 8))
        config = {"num_heads": 2, "key_dim": 4}
        traits = frozenset({"permutation_equivariant"})
        yield Example(cls, config, tokens, traits=traits)
        yield Example(
            cls,
            {**config, "update_steps_max": 2, "update_steps_eps": 0.0, "beta": "learnable"},
            tokens,
            traits=traits,
            name="updated",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid steps and temperatures."""
        good = {"num_heads": 2, "key_dim": 4}
        yield Rejection(cls, {**good, "update_steps_eps": -1.0}, "update_steps_eps")
        yield Rejection(cls, {**good, "beta": 0.0}, "beta")
        yield Rejection(cls, {**good, "beta": "cold"}, "beta")
