"""The gated feed-forward block of LLaMA and its kin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras

from dl_techniques.core import (
    Count,
    Example,
    PositiveNumber,
    Rejection,
    TensorSpec,
    component,
)
from dl_techniques.layers.ffn.gated_feed_forward import GatedFeedForward


@component(
    "dl_techniques>SwiGLUFFN",
    kind="layer",
    tags=("ffn", "gating", "transformer"),
    paper="arXiv:2002.05202",
    since="0.1",
)
class SwiGLUFFN(GatedFeedForward):
    """SwiGLU feed-forward block: one projection gates another through SiLU.

    y = drop(silu(x W_gate) * (x W_up)) W_down, silu(z) = z sigmoid(z)

    Without an explicit `hidden_dim` the width is two thirds of `ffn_expansion_factor` times the
    features, which gives the three matrices the parameters of a plain block's two, rounded up to
    a multiple of `ffn_multiple_of`. `GLUFFN` takes other activations.

    Args:
        hidden_dim: Width of gate and value; `None` for the rule above.
        output_dim: Width of the output; `None` for that of the input.
        ffn_expansion_factor: Width of the plain block that this one replaces, in multiples of the
            input's.
        ffn_multiple_of: The width by the rule is rounded up to a multiple of this.
        use_bias: Whether the projections have biases.
        **kwargs: Settings of `FeedForward` (`dropout`, initializers, regularizers,
            `seed`) and arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; only the features must be known.

    Output shape:
        `(batch, ..., output_dim)`.

    Raises:
        ValueError: If a width, a factor or a rate is out of range, or the features are unknown.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import SwiGLUFFN
        >>> block = SwiGLUFFN()
        >>> tuple(block(keras.ops.ones((2, 5, 96))).shape), block.up.units
        ((2, 5, 96), 256)

    References:
        Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202. Touvron et al., "LLaMA:
        Open and Efficient Foundation Language Models", arXiv:2302.13971 (the rule of the width).
    """

    def __init__(
        self,
        hidden_dim: int | None = None,
        output_dim: int | None = None,
        ffn_expansion_factor: PositiveNumber = 4,
        ffn_multiple_of: Count = 256,
        use_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(hidden_dim, output_dim, use_bias=use_bias, **kwargs)
        self.ffn_expansion_factor = ffn_expansion_factor
        self.ffn_multiple_of = ffn_multiple_of
        self.activation_layer = keras.activations.silu

    def _hidden_dim(self, features: int) -> int:
        if self.hidden_dim is not None:
            return self.hidden_dim
        multiple = self.ffn_multiple_of
        return multiple * math.ceil(2 * self.ffn_expansion_factor * features / (3 * multiple))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The width by the rule, and an explicit width with biases and dropout."""
        yield Example(cls, {}, TensorSpec((2, 3)))
        drops = {"hidden_dim": 8, "output_dim": 5, "use_bias": True, "dropout": 0.5, "seed": 1}
        traits = frozenset({"stochastic", "permutation_equivariant"})
        yield Example(cls, drops, TensorSpec((2, 3, 4)), traits=traits, name="dropout")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless widths, factors and rates; unknown features."""
        yield Rejection(cls, {}, "input_shape", build=(2, None))
