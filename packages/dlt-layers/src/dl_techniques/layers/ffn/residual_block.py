"""A feed-forward block with a linear residual path."""

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
    "dl_techniques>ResidualBlock",
    kind="layer",
    tags=("ffn", "residual", "time-series"),
    paper="arXiv:2310.10688",
    since="0.1",
)
class ResidualBlock(FeedForward):
    """Residual feed-forward block, whose residual path may be linear and change the width.

    y = drop(act(x W_1 + b_1) W_2 + b_2) + x W_r + b_r

    It embeds and projects the patches of time series in TimesFM (SiLU) and TiRex (ReLU). Without
    the linear path the residual is x itself, and the width cannot change.

    Args:
        hidden_dim: Width in the middle.
        output_dim: Width of the output; `None` for that of the input.
        activation: Name, function, layer or configuration; `None` for the identity.
        linear_residual: Whether the residual path has weights.
        **kwargs: Settings of `FeedForward` (`dropout`, `use_bias`, initializers, regularizers,
            `seed`) and arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; only the features must be known.

    Output shape:
        `(batch, ..., output_dim)`.

    Raises:
        ValueError: If a width or a rate is out of range, the activation or the features are
            unknown, or the width changes without a linear path.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import ResidualBlock
        >>> tuple(ResidualBlock(16, output_dim=8)(keras.ops.ones((2, 5, 6))).shape)
        (2, 5, 8)

    References:
        Das et al., "A decoder-only foundation model for time-series forecasting",
        arXiv:2310.10688. Auer et al., "TiRex", arXiv:2505.23719.
    """

    def __init__(
        self,
        hidden_dim: Count,
        output_dim: int | None = None,
        activation: ActivationLike | None = "silu",
        linear_residual: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(hidden_dim, output_dim, **kwargs)
        self.activation = activation
        self.activation_layer = resolve(activation, kind="activation", dtype=self.dtype_policy)
        self.linear_residual = linear_residual

    def build(self, input_shape: Shape) -> None:
        """Build both paths."""
        features, output_dim = self._widths(input_shape)
        if not self.linear_residual and features != output_dim:
            raise ValueError(
                "`output_dim` must be the input's width if `linear_residual` is false. "
                f"Received: output_dim={self.output_dim}, input_shape={tuple(input_shape)}"
            )
        assert self.hidden_dim is not None
        self.hidden = dense_part(self, self.hidden_dim, "hidden", features)
        self.output_dense = dense_part(self, output_dim, "output", self.hidden_dim)
        self.residual = (
            dense_part(self, output_dim, "residual", features) if self.linear_residual else None
        )
        build_part(self.activation_layer, self.hidden.compute_output_shape(input_shape))
        self.output_dropout = self._drop()

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Add the two paths."""
        x = self.output_dense(self.activation_layer(self.hidden(inputs)))
        x = self.output_dropout(x, training=training)
        return x + (inputs if self.residual is None else self.residual(inputs))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A linear path, and the identity with dropout."""
        tokens = TensorSpec((2, 3, 4))
        traits = frozenset({"permutation_equivariant"})
        yield Example(cls, {"hidden_dim": 6}, tokens, traits=traits)
        identity = {"hidden_dim": 6, "linear_residual": False, "dropout": 0.5, "seed": 1}
        yield Example(cls, identity, tokens, traits=frozenset({"stochastic"}), name="identity")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless widths and rates, a change of width without a path for it."""
        yield Rejection(cls, {"hidden_dim": 6, "activation": "no such function"}, "activation")
        widened = {"hidden_dim": 6, "output_dim": 5, "linear_residual": False}
        yield Rejection(cls, widened, "output_dim", build=(2, 4))
        yield Rejection(cls, {"hidden_dim": 6}, "input_shape", build=(2, None))
