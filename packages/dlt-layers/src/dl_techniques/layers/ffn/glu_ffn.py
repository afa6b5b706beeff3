"""Feed-forward blocks with a gated linear unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Rejection,
    TensorSpec,
    component,
    resolve,
)
from dl_techniques.layers.ffn.gated_feed_forward import GatedFeedForward


@component(
    "dl_techniques>GLUFFN",
    kind="layer",
    tags=("ffn", "gating", "transformer"),
    paper="arXiv:2002.05202",
    since="0.1",
)
class GLUFFN(GatedFeedForward):
    """Feed-forward block with a gated linear unit of any activation.

    y = drop(act(x W_gate + b) * (x W_up + c)) W_down + d

    The activation names the variant: `"sigmoid"` is GLU, `None` Bilinear, `"relu"` ReGLU, `"gelu"`
    GEGLU, `"silu"` SwiGLU. (`"gelu"` is the exact one; T5 takes the tanh approximation, for which
    pass a `GELU(approximate=True)`.) For LLaMA's rule of the width see `SwiGLUFFN`.

    Args:
        hidden_dim: Width of gate and value.
        output_dim: Width of the output; `None` for that of the input.
        activation: Of the gate: name, function, layer or configuration; `None` for the identity.
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
        >>> from dl_techniques.layers import GLUFFN
        >>> tuple(GLUFFN(16, activation="gelu")(keras.ops.ones((2, 5, 6))).shape)
        (2, 5, 6)

    References:
        Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202.
    """

    def __init__(
        self,
        hidden_dim: Count,
        output_dim: int | None = None,
        activation: ActivationLike | None = "sigmoid",
        **kwargs: Any,
    ) -> None:
        super().__init__(hidden_dim, output_dim, **kwargs)
        self.activation = activation
        self.activation_layer = resolve(activation, kind="activation", dtype=self.dtype_policy)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """GLU, GEGLU of another width with dropout and without biases."""
        tokens = TensorSpec((2, 3, 4))
        traits = frozenset({"permutation_equivariant"})
        yield Example(cls, {"hidden_dim": 6}, tokens, traits=traits)
        geglu: dict[str, Any] = {"hidden_dim": 5, "output_dim": 3, "activation": "gelu"}
        geglu |= {"use_bias": False, "dropout": 0.5, "seed": 1}
        yield Example(cls, geglu, tokens, traits=frozenset({"stochastic"}), name="geglu")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless widths and rates, an unknown activation, unknown features."""
        yield Rejection(cls, {"hidden_dim": 6, "activation": "no such function"}, "activation")
        yield Rejection(cls, {"hidden_dim": 6}, "input_shape", build=(2, None))
