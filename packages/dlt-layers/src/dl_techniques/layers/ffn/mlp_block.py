"""The plain feed-forward block of transformers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    resolve,
)
from dl_techniques.layers.ffn.feed_forward import FeedForward
from dl_techniques.layers.parts import build_part, dense_part


@component(
    "dl_techniques>MLPBlock",
    kind="layer",
    tags=("ffn", "transformer"),
    paper="arXiv:1706.03762",
    since="0.1",
)
class MLPBlock(FeedForward):
    """Feed-forward block of transformers: dense, activation, dropout, dense, dropout.

    y = drop(drop(act(x W_1 + b_1)) W_2 + b_2)

    Args:
        hidden_dim: Width in the middle.
        output_dim: Width of the output; `None` for that of the input.
        activation: Name, function, layer or configuration; `None` for the identity.
        **kwargs: Settings of `FeedForward` (`dropout`, `use_bias`, initializers, regularizers,
            `seed`) and arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; only the features must be known.

    Output shape:
        `(batch, ..., output_dim)`.

    Raises:
        ValueError: If a width or a rate is out of range, the activation or the features are
            unknown.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import MLPBlock
        >>> tuple(MLPBlock(16, output_dim=3)(keras.ops.ones((2, 5, 6))).shape)
        (2, 5, 3)

    References:
        Vaswani et al., "Attention Is All You Need", arXiv:1706.03762.
    """

    def __init__(
        self,
        hidden_dim: Count,
        output_dim: int | None = None,
        activation: ActivationLike | None = "gelu",
        **kwargs: Any,
    ) -> None:
        super().__init__(hidden_dim, output_dim, **kwargs)
        self.activation = activation
        self.activation_layer = resolve(activation, kind="activation", dtype=self.dtype_policy)

    def build(self, input_shape: Shape) -> None:
        """Build the two dense layers and the activation."""
        features, output_dim = self._widths(input_shape)
        assert self.hidden_dim is not None
        self.hidden = dense_part(self, self.hidden_dim, "hidden", features)
        self.output_dense = dense_part(self, output_dim, "output", self.hidden_dim)
        build_part(self.activation_layer, self.hidden.compute_output_shape(input_shape))
        self.hidden_dropout = self._drop()
        self.output_dropout = self._drop(1)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Widen, activate, narrow."""
        x = self.activation_layer(self.hidden(inputs))
        x = self.output_dense(self.hidden_dropout(x, training=training))
        return self.output_dropout(x, training=training)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Tokens, and another width with dropout."""
        tokens = TensorSpec((2, 3, 4))
        traits = frozenset({"permutation_equivariant"})
        yield Example(cls, {"hidden_dim": 6}, tokens, traits=traits)
        drops = {"hidden_dim": 5, "output_dim": 3, "activation": "relu", "dropout": 0.5, "seed": 1}
        yield Example(cls, drops, tokens, traits=frozenset({"stochastic"}), name="dropout")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless widths and rates, an unknown activation, unknown features."""
        yield Rejection(cls, {"hidden_dim": 6, "activation": "no such function"}, "activation")
        yield Rejection(cls, {"hidden_dim": 6}, "input_shape", build=(2, None))
