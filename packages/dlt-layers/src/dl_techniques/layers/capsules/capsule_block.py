"""Routing with dropout and normalization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from dl_techniques.core import (
    ConstraintLike,
    Example,
    Fraction,
    InitializerLike,
    Layer,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.capsules.routing_capsule import RoutingCapsule


@component(
    "dl_techniques>CapsuleBlock",
    kind="layer",
    tags=("capsule", "routing"),
    paper="arXiv:1710.09829",
    since="0.1",
)
class CapsuleBlock(Layer):
    """Capsule block: dynamic routing, dropout of whole capsules, layer normalization.

    y = LN(drop(route(u))), the last two only if asked for; `RoutingCapsule` is the first.

    Without normalization capsules are shorter than one (at training those that stay are
    multiplied by 1 / (1 - rate)). Layer normalization sets the length of every capsule to about
    sqrt(Q): lengths are no probabilities any more, and a margin loss on them saturates. It is
    for blocks in the middle of a network.

    Args:
        num_capsules: Number J of output capsules.
        dim_capsules: Components Q of an output capsule.
        routing_iterations: Number of rounds.
        dropout_rate: Probability that a capsule is dropped at training.
        use_layer_norm: Whether to normalize the components of each capsule.
        kernel_initializer: Initializer of W; `None` for that of `RoutingCapsule`.
        use_bias: Whether the routing has a bias.
        stop_gradient_routing: Whether gradients flow through the last round only.
        epsilon: See `SquashLayer`.
        norm_epsilon: Added to the variance.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of W.
        bias_regularizer: Regularizer of the bias.
        kernel_constraint: Constraint on W.
        bias_constraint: Constraint on the bias.
        seed: Seed of dropout.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Capsules u.
        mask: `(batch, I)`, True for a real capsule. The others take no part.

    Input shape:
        `(batch, I, P)`, both known.

    Output shape:
        `(batch, J, Q)`.

    Raises:
        ValueError: If a number is out of range, or the input's shape is not as above.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import CapsuleBlock
        >>> block = CapsuleBlock(num_capsules=3, dim_capsules=2, dropout_rate=0.1)
        >>> tuple(block(keras.ops.ones((2, 5, 4))).shape)
        (2, 3, 2)

    References:
        Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", arXiv:1710.09829 (the
        routing).
    """

    def __init__(
        self,
        num_capsules: int,
        dim_capsules: int,
        routing_iterations: int = 3,
        dropout_rate: Fraction = 0.0,
        use_layer_norm: bool = False,
        kernel_initializer: InitializerLike | None = None,
        use_bias: bool = False,
        stop_gradient_routing: bool = False,
        epsilon: float = 1e-7,
        norm_epsilon: PositiveNumber = 1e-6,
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.routing = RoutingCapsule(
            num_capsules,
            dim_capsules,
            routing_iterations=routing_iterations,
            kernel_initializer=kernel_initializer,
            use_bias=use_bias,
            stop_gradient_routing=stop_gradient_routing,
            epsilon=epsilon,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            dtype=self.dtype_policy,
            name="routing",
        )
        self.num_capsules = num_capsules
        self.dim_capsules = dim_capsules
        self.routing_iterations = routing_iterations
        self.dropout_rate = dropout_rate
        self.use_layer_norm = use_layer_norm
        self.kernel_initializer = self.routing.kernel_initializer
        self.use_bias = use_bias
        self.stop_gradient_routing = stop_gradient_routing
        self.epsilon = epsilon
        self.norm_epsilon = norm_epsilon
        self.bias_initializer = self.routing.bias_initializer
        self.kernel_regularizer = self.routing.kernel_regularizer
        self.bias_regularizer = self.routing.bias_regularizer
        self.kernel_constraint = self.routing.kernel_constraint
        self.bias_constraint = self.routing.bias_constraint
        self.seed = seed
        self.dropout = keras.layers.Dropout(
            dropout_rate, noise_shape=(None, None, 1), seed=seed, dtype=self.dtype_policy
        )
        self.norm = (
            keras.layers.LayerNormalization(
                epsilon=norm_epsilon, dtype=self.dtype_policy, name="norm"
            )
            if use_layer_norm
            else None
        )
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Build the routing and the norm."""
        self.routing.build(input_shape)
        if self.norm is not None:
            self.norm.build(self.compute_output_shape(input_shape))

    def call(
        self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        """Route, drop, normalize."""
        x = self.dropout(self.routing(inputs, mask=mask), training=training)
        return x if self.norm is None else self.norm(x)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> None:
        """No mask: output capsules are no positions of the input."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """J capsules of Q components."""
        return self.routing.compute_output_shape(input_shape)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Normalized, and with dropout."""
        capsules = TensorSpec((2, 5, 4))
        small = {"num_capsules": 6, "dim_capsules": 4, "routing_iterations": 2}
        yield Example(cls, {"num_capsules": 6, "dim_capsules": 4}, capsules)
        normed = {"use_layer_norm": True, "use_bias": True, "dropout_rate": 0.5, "seed": 1}
        traits = frozenset({"stochastic"})
        yield Example(cls, {**small, **normed}, capsules, traits=traits, name="normalized")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, unknown sizes."""
        good = {"num_capsules": 3, "dim_capsules": 2}
        yield Rejection(cls, {**good, "num_capsules": -1}, "num_capsules")
        yield Rejection(cls, {**good, "routing_iterations": 1.5}, "routing_iterations")
        yield Rejection(cls, good, "input_shape", build=(2, None, 4))
