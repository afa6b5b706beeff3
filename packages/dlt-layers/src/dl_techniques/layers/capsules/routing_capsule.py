"""Capsules that route by agreement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Count,
    Example,
    InitializerLike,
    Layer,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.capsules.routing import route


@component(
    "dl_techniques>RoutingCapsule",
    kind="layer",
    tags=("capsule", "routing"),
    paper="arXiv:1710.09829",
    since="0.1",
)
class RoutingCapsule(Layer):
    """Capsules that gather what agrees of the capsules below, by dynamic routing.

    u_ij = u_i W_ij; from b_ij = 0 on, r times: c_ij = softmax_j(b_ij), s_j = sum_i c_ij u_ij,
    v_j = squash(s_j), and b_ij += u_ij . v_j before the next round

    I capsules of P components become J of Q. The softmax is over the output capsules j: each
    input capsule distributes itself among them. The logits b belong to a sample and are no
    weights. Gradients flow through all rounds, as in the paper. The rounds are computed in
    float32 at least; u_ij, batch I J Q numbers, takes most of the memory.

    Args:
        num_capsules: Number J of output capsules.
        dim_capsules: Components Q of an output capsule.
        routing_iterations: Number r of rounds; with one, all coefficients are 1 / J.
        kernel_initializer: Initializer of W; `None` for a truncated normal distribution of
            deviation 0.1. (Keras's rules for fans take this kernel for a convolution over I x J
            pixels and make it far too small.)
        use_bias: Whether to add a bias `(J, Q)` to s.
        stop_gradient_routing: Whether gradients flow through the last round only, which takes
            its coefficients for constants; it saves memory and time.
        epsilon: See `SquashLayer`.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of W.
        bias_regularizer: Regularizer of the bias.
        kernel_constraint: Constraint on W.
        bias_constraint: Constraint on the bias.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Capsules u.
        mask: `(batch, I)`, True for a real capsule. The others take no part.

    Input shape:
        `(batch, I, P)`, both known.

    Output shape:
        `(batch, J, Q)`, each vector shorter than one.

    Raises:
        ValueError: If a number is not positive, or the input's shape is not as above.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import RoutingCapsule
        >>> layer = RoutingCapsule(num_capsules=10, dim_capsules=16)
        >>> tuple(layer(keras.ops.ones((2, 36, 8))).shape), tuple(layer.kernel.shape)
        ((2, 10, 16), (36, 10, 8, 16))

    References:
        Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", arXiv:1710.09829.
    """

    def __init__(
        self,
        num_capsules: Count,
        dim_capsules: Count,
        routing_iterations: Count = 3,
        kernel_initializer: InitializerLike | None = None,
        use_bias: bool = False,
        stop_gradient_routing: bool = False,
        epsilon: PositiveNumber = 1e-7,
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_capsules = num_capsules
        self.dim_capsules = dim_capsules
        self.routing_iterations = routing_iterations
        self.kernel_initializer = (
            keras.initializers.TruncatedNormal(stddev=0.1)
            if kernel_initializer is None
            else keras.initializers.get(kernel_initializer)
        )
        self.use_bias = use_bias
        self.stop_gradient_routing = stop_gradient_routing
        self.epsilon = epsilon
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create the kernel `(I, J, P, Q)` and the bias."""
        count, size = input_shape[1:] if len(input_shape) == 3 else (None, None)
        if count is None or size is None:
            raise ValueError(
                "The input must be (batch, capsules, components), the last two known. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(count, self.num_capsules, size, self.dim_capsules),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = (
            self.add_weight(
                name="bias",
                shape=(self.num_capsules, self.dim_capsules),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                autocast=False,
            )
            if self.use_bias
            else None
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Predict, then route the predictions."""
        u = inputs
        if mask is not None:
            # A capsule of zeros predicts zeros, which neither add to a sum nor agree with it.
            shown = ops.expand_dims(ops.cast(mask, "bool"), -1)
            u = ops.where(shown, u, ops.zeros_like(u))
        predictions = upcast(self._predictions(u))
        bias = None if self.bias is None else ops.cast(self.bias, predictions.dtype)
        capsules, _ = route(
            predictions, bias, self.routing_iterations, self.epsilon, self.stop_gradient_routing
        )
        return ops.cast(capsules, self.compute_dtype)

    def _predictions(self, u: Tensor) -> Tensor:
        """Return u_ij, `(batch, J, I, Q)`, by one product of matrices for each input capsule."""
        count, capsules, size, width = self.kernel.shape
        kernel = ops.reshape(
            ops.transpose(self.kernel, (0, 2, 1, 3)), (count, size, capsules * width)
        )
        y = ops.matmul(ops.transpose(u, (1, 0, 2)), kernel)
        return ops.transpose(ops.reshape(y, (count, -1, capsules, width)), (1, 2, 0, 3))

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> None:
        """No mask: output capsules are no positions of the input."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """J capsules of Q components."""
        return (input_shape[0], self.num_capsules, self.dim_capsules)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The paper's routing, and a short one with biases."""
        capsules = TensorSpec((2, 5, 4))
        yield Example(cls, {"num_capsules": 3, "dim_capsules": 2}, capsules)
        short = {"num_capsules": 2, "dim_capsules": 3, "routing_iterations": 2}
        biased = {"use_bias": True, "bias_initializer": "ones"}
        yield Example(cls, {**short, **biased}, capsules, name="biased")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, unknown sizes, images."""
        good = {"num_capsules": 3, "dim_capsules": 2}
        yield Rejection(cls, good, "input_shape", build=(2, None, 4))
        yield Rejection(cls, good, "input_shape", build=(2, 3, 3, 4))
