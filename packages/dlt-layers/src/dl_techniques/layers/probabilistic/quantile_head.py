"""Quantiles of several steps ahead from features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Fraction,
    InitializerLike,
    Layer,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    is_number,
    resolve,
    upcast,
)
from dl_techniques.layers.parts import build_part, call_part, dense_part, features_of


@component(
    "dl_techniques>QuantileHead",
    kind="layer",
    tags=("probability", "forecasting"),
    paper="arXiv:2505.23719",
    since="0.1",
)
class QuantileHead(Layer):
    """Head of a forecaster: several quantiles for each of the steps ahead.

    a = x W + b, reshaped to (steps, quantiles), and q = a; with `enforce_monotonicity`
    q_1 = a_1, q_i = q_(i-1) + softplus(a_i)

    The monotone form cannot cross: a higher quantile is never below a lower one. Train it with
    the pinball loss, max(u (y - q), (u - 1) (y - q)) at the level u. The sums are computed in
    float32 under half precision.

    Args:
        num_quantiles: Number Q of quantiles, at the levels i / (Q + 1): 0.1 to 0.9 for 9.
        output_length: Number of steps ahead.
        quantiles: Levels, ascending between 0 and 1, in place of the above; there must be
            `num_quantiles` of them. The attribute `levels` holds those in use.
        enforce_monotonicity: Whether quantiles are sums, as above.
        hidden_dim: Units of a hidden layer; `None` omits it.
        activation: Of the hidden layer: name, function, layer or configuration.
        dropout_rate: Dropout before the last projection.
        flatten_input: Whether all steps of a sequence make one forecast; otherwise each step
            makes its own.
        use_bias: Whether projections have biases.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        seed: Seed of dropout.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, features)` or `(batch, steps, features)`; the features must be known, and the
        steps for `flatten_input`.

    Output shape:
        `(batch, output_length, num_quantiles)`, or `(batch, steps, output_length,
        num_quantiles)` for a sequence that is not flattened.

    Raises:
        ValueError: If a number is out of range, the levels are not ascending or not
            `num_quantiles`, or a needed size is unknown.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import QuantileHead
        >>> head = QuantileHead(9, output_length=32, enforce_monotonicity=True)
        >>> tuple(head(keras.ops.ones((2, 16))).shape), head.levels[0]
        ((2, 32, 9), 0.1)

    References:
        Auer et al., "TiRex: Zero-Shot Forecasting Across Long and Short Horizons with Enhanced
        In-Context Learning", arXiv:2505.23719; Koenker and Bassett, "Regression Quantiles",
        Econometrica 46 (1978).
    """

    def __init__(
        self,
        num_quantiles: Count = 9,
        output_length: Count = 1,
        quantiles: Sequence[float] | None = None,
        enforce_monotonicity: bool = False,
        hidden_dim: Count | None = None,
        activation: ActivationLike | None = "relu",
        dropout_rate: Fraction = 0.0,
        flatten_input: bool = False,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.levels = _levels(num_quantiles, quantiles)
        self.num_quantiles = num_quantiles
        self.output_length = output_length
        self.quantiles = None if quantiles is None else list(quantiles)
        self.enforce_monotonicity = enforce_monotonicity
        self.hidden_dim = hidden_dim
        self.activation = activation
        self.dropout_rate = dropout_rate
        self.flatten_input = flatten_input
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.seed = seed
        self.activation_layer = resolve(activation, kind="activation", dtype=self.dtype_policy)
        self.hidden = None if hidden_dim is None else dense_part(self, hidden_dim, "hidden")
        self.dropout = keras.layers.Dropout(dropout_rate, seed=seed, dtype=self.dtype_policy)
        self.projection = dense_part(self, output_length * num_quantiles, "projection")

    def build(self, input_shape: Shape) -> None:
        """Build the projections."""
        if len(input_shape) not in {2, 3}:
            raise ValueError(
                "The input must be (batch, features) or (batch, steps, features). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        features = features_of(input_shape)
        if self.flatten_input and len(input_shape) == 3:
            if input_shape[1] is None:
                raise ValueError(
                    "The steps must be known if `flatten_input` is true. "
                    f"Received: input_shape={tuple(input_shape)}"
                )
            features = input_shape[1] * features
        shape: Shape = (*self._leading(input_shape), features)
        if self.hidden is not None:
            self.hidden.build(shape)
            shape = (*shape[:-1], self.hidden_dim)
            build_part(self.activation_layer, shape)
        self.projection.build(shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Project, and sum if quantiles must not cross."""
        x = inputs
        if self.flatten_input and len(x.shape) == 3:
            x = ops.reshape(x, (-1, math.prod(x.shape[1:])))
        if self.hidden is not None:
            x = call_part(self.activation_layer, self.hidden(x), training)
        a = self.projection(self.dropout(x, training=training))
        a = ops.reshape(a, (*ops.shape(a)[:-1], self.output_length, self.num_quantiles))
        if not self.enforce_monotonicity:
            # Products of float64 are float32 in Keras on PyTorch.
            return ops.cast(a, self.compute_dtype)
        a = upcast(a)
        steps = ops.concatenate([a[..., :1], ops.softplus(a[..., 1:])], axis=-1)
        return ops.cast(ops.cumsum(steps, axis=-1), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the leading axes, the steps ahead and the quantiles."""
        return (*self._leading(input_shape), self.output_length, self.num_quantiles)

    def _leading(self, input_shape: Shape) -> Shape:
        return tuple(input_shape[:1] if self.flatten_input else input_shape[:-1])

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A plain head of vectors, a monotone one of each step, a deep one of whole sequences."""
        vectors, tokens = TensorSpec((2, 6)), TensorSpec((2, 3, 4))
        yield Example(cls, {}, vectors)
        monotone = {"quantiles": (0.1, 0.5, 0.9), "enforce_monotonicity": True}
        yield Example(
            cls, {"num_quantiles": 3, "output_length": 2, **monotone}, tokens, name="monotone"
        )
        deep = {"hidden_dim": 12, "dropout_rate": 0.5, "flatten_input": True, "seed": 1}
        traits = frozenset({"stochastic"})
        yield Example(cls, {"num_quantiles": 2, **deep}, tokens, traits=traits, name="deep")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, levels that are not ascending or too few, unknown sizes."""
        yield Rejection(cls, {"num_quantiles": 2, "quantiles": (0.5, 0.1)}, "quantiles")
        yield Rejection(cls, {"num_quantiles": 2, "quantiles": (0.5, 1.0)}, "quantiles")
        yield Rejection(cls, {"quantiles": (0.5,)}, "quantiles")
        yield Rejection(cls, {}, "input_shape", build=(2, None))
        yield Rejection(cls, {}, "input_shape", build=(2, 3, 4, 5))
        yield Rejection(cls, {"flatten_input": True}, "input_shape", build=(2, None, 4))


def _levels(count: int, given: Sequence[float] | None) -> tuple[float, ...]:
    if given is None:
        return tuple(i / (count + 1) for i in range(1, count + 1))
    levels = tuple(given)
    inside = all(is_number(level) and 0 < level < 1 for level in levels)
    if not inside or len(levels) != count or any(a >= b for a, b in pairwise(levels)):
        raise ValueError(
            "`quantiles` must be `num_quantiles` ascending numbers between 0 and 1. "
            f"Received: quantiles={given!r}, num_quantiles={count}"
        )
    return levels
