"""A feed-forward block with an excitatory and an inhibitory branch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    PositiveNumber,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    is_number,
    resolve,
    upcast,
)
from dl_techniques.layers.ffn.feed_forward import FeedForward
from dl_techniques.layers.parts import build_part, dense_part


@component(
    "dl_techniques>DifferentialFFN",
    kind="layer",
    tags=("ffn", "experimental"),
    since="0.1",
)
class DifferentialFFN(FeedForward):
    """Differential feed-forward block: the normalized difference of two branches.

    p = act(x W_p + b_p), n = act(x W_n + b_n), z = LN(p) - lambda LN(n),
    y = drop(z) W_o + b_o

    With `gated=True` each branch is a gated unit, p = act(x W_p + b_p) * gate(x G_p + c_p), and the
    difference comes before the norm: z = LN(p - lambda n).

    The block is this project's own, after the idea of the differential transformer that a
    difference cancels what both branches share. LN is one layer normalization for both branches,
    with a scale and without an offset: so equal branches cancel exactly at lambda = 1, and
    swapping them changes the sign of z.

    Args:
        hidden_dim: Width of each branch.
        output_dim: Width of the output; `None` for that of the input.
        branch_activation: act: name, function, layer or configuration; `None` for the identity.
        gated: Whether the branches are gated units.
        gate_activation: gate: as `branch_activation`; of effect only with `gated=True`.
        lambda_init: Where lambda starts.
        trainable_lambda: Whether lambda is learned; else it stays at `lambda_init`.
        norm_epsilon: Added to the variance in LN.
        **kwargs: Settings of `FeedForward` (`dropout`, `use_bias`, initializers, regularizers,
            `seed`) and arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; only the features must be known.

    Output shape:
        `(batch, ..., output_dim)`.

    Raises:
        ValueError: If a width, a rate or `lambda_init` is out of range, an activation or the
            features are unknown.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import DifferentialFFN
        >>> tuple(DifferentialFFN(16)(keras.ops.ones((2, 3, 4))).shape)
        (2, 3, 4)

    References:
        Ye et al., "Differential Transformer", arXiv:2410.05258 (the idea, there for attention).
    """

    def __init__(
        self,
        hidden_dim: Count,
        output_dim: int | None = None,
        branch_activation: ActivationLike | None = "gelu",
        gated: bool = False,
        gate_activation: ActivationLike | None = "sigmoid",
        lambda_init: float = 1.0,
        trainable_lambda: bool = True,
        norm_epsilon: PositiveNumber = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(hidden_dim, output_dim, **kwargs)
        if not is_number(lambda_init):
            raise ValueError(
                f"`lambda_init` must be a finite number. Received: lambda_init={lambda_init!r}"
            )
        self.branch_activation = branch_activation
        self.gated = gated
        self.gate_activation = gate_activation
        self.lambda_init = lambda_init
        self.trainable_lambda = trainable_lambda
        self.norm_epsilon = norm_epsilon
        self.branch_activation_layer = self._part(branch_activation, "branch_activation")
        self.gate_activation_layer = self._part(gate_activation, "gate_activation")

    def build(self, input_shape: Shape) -> None:
        """Build the branches, the norm and the projection; create lambda."""
        features, output_dim = self._widths(input_shape)
        assert self.hidden_dim is not None
        hidden_shape = (*input_shape[:-1], self.hidden_dim)
        self.positive = dense_part(self, self.hidden_dim, "positive", features)
        self.negative = dense_part(self, self.hidden_dim, "negative", features)
        build_part(self.branch_activation_layer, hidden_shape)
        if self.gated:
            self.positive_gate = dense_part(self, self.hidden_dim, "positive_gate", features)
            self.negative_gate = dense_part(self, self.hidden_dim, "negative_gate", features)
            build_part(self.gate_activation_layer, hidden_shape)
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.norm_epsilon, center=False, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build(hidden_shape)
        self.inhibition = self.add_weight(
            name="lambda",
            shape=(),
            initializer=keras.initializers.Constant(self.lambda_init),
            trainable=self.trainable_lambda,
            autocast=False,
        )
        self.hidden_dropout = self._drop()
        self.output_dense = dense_part(self, output_dim, "output", self.hidden_dim)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Subtract the branches and project."""
        p = self.branch_activation_layer(self.positive(inputs))
        n = self.branch_activation_layer(self.negative(inputs))
        if self.gated:
            p = p * self.gate_activation_layer(self.positive_gate(inputs))
            n = n * self.gate_activation_layer(self.negative_gate(inputs))
            z = self.norm(self._difference(p, n))
        else:
            z = self._difference(self.norm(p), self.norm(n))
        y = self.output_dense(self.hidden_dropout(z, training=training))
        # Products of float64 are float32 in Keras on PyTorch.
        return ops.cast(y, self.compute_dtype)

    def _difference(self, p: Tensor, n: Tensor) -> Tensor:
        p, n = upcast(p), upcast(n)
        return ops.cast(p - ops.cast(self.inhibition, n.dtype) * n, self.compute_dtype)

    def _part(self, activation: Any, argument: str) -> Any:
        # Serves both branches, on purpose: a learned activation must not tell them apart.
        return resolve(activation, kind="activation", argument=argument, dtype=self.dtype_policy)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Plain branches, gated ones with a fixed lambda and dropout.

        Wide enough that no token closes all gates: LN would show the rounding of what is left.
        """
        tokens = TensorSpec((2, 3, 4))
        traits = frozenset({"permutation_equivariant"})
        gated = {"hidden_dim": 16, "output_dim": 3, "gated": True}
        fixed = {"lambda_init": 0.5, "trainable_lambda": False, "dropout": 0.5, "seed": 1}
        yield Example(cls, {"hidden_dim": 16}, tokens, traits=traits)
        traits |= {"stochastic"}
        yield Example(cls, {**gated, **fixed}, tokens, traits=traits, name="gated")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless widths, numbers and activations; unknown features."""
        yield Rejection(cls, {"hidden_dim": 6, "lambda_init": float("nan")}, "lambda_init")
        for argument in ("branch_activation", "gate_activation"):
            yield Rejection(cls, {"hidden_dim": 6, argument: "no such function"}, argument)
        yield Rejection(cls, {"hidden_dim": 6}, "input_shape", build=(2, None))
