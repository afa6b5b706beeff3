"""Parameters of a mixture of normal distributions from features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
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
from dl_techniques.layers.arguments import (
    require_one_of,
)
from dl_techniques.layers.parts import dense_part, features_of

_ACTIVATIONS = {
    "elu_plus_one": lambda x: ops.elu(x) + 1.0,
    "softplus": ops.softplus,
    "exp": ops.exp,
}


@component(
    "dl_techniques>MDNLayer",
    kind="layer",
    tags=("probability", "mixture"),
    since="0.1",
)
class MDNLayer(Layer):
    """Mixture density layer: outputs a mixture of K normal distributions in D dimensions.

    y = [mu | sigma | logits], with mu = x W_mu + b_mu, sigma = f(x W_sigma + b_sigma) + min_sigma,
    logits = x W_pi + b_pi; the weights of the components are softmax(logits)

    mu and sigma are `(K, D)` in row-major order. Train with the mean of `mdn_nll`; `mdn_sample`
    draws from the mixtures and `mdn_moments` splits their variance. In a model of mixed precision
    give this layer `dtype="float32"`, as any last layer: half precision rounds small deviations.

    Args:
        output_dimension: D.
        num_mixtures: K.
        sigma_activation: f: `"elu_plus_one"`, which is linear for large deviations,
            `"softplus"` or `"exp"`.
        min_sigma: Added to the deviations.
        use_bias: Whether to add the biases.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; only the features must be known.

    Output shape:
        `(batch, ..., K (2 D + 1))`.

    Raises:
        ValueError: If a number is not positive, the activation is unknown, or the features are.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import MDNLayer, mdn_nll
        >>> params = MDNLayer(output_dimension=2, num_mixtures=3)(keras.ops.ones((4, 8)))
        >>> tuple(params.shape), tuple(mdn_nll(keras.ops.zeros((4, 2)), params, 3, 2).shape)
        ((4, 15), (4,))

    References:
        Bishop, "Mixture Density Networks", Aston University (1994).
    """

    def __init__(
        self,
        output_dimension: Count,
        num_mixtures: Count,
        sigma_activation: str = "elu_plus_one",
        min_sigma: PositiveNumber = 1e-6,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_one_of(_ACTIVATIONS, sigma_activation=sigma_activation)
        self.output_dimension = output_dimension
        self.num_mixtures = num_mixtures
        self.sigma_activation = sigma_activation
        self.min_sigma = min_sigma
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        size = num_mixtures * output_dimension
        self.mdn_mus = dense_part(self, size, "mdn_mus")
        self.mdn_sigmas = dense_part(self, size, "mdn_sigmas")
        self.mdn_pi = dense_part(self, num_mixtures, "mdn_pi")
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Build the three projections."""
        features_of(input_shape)
        for part in (self.mdn_mus, self.mdn_sigmas, self.mdn_pi):
            part.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Project, and make the deviations positive."""
        raw = upcast(self.mdn_sigmas(inputs))
        deviations = _ACTIVATIONS[self.sigma_activation](raw) + self.min_sigma
        deviations = ops.cast(deviations, self.compute_dtype)
        return ops.concatenate([self.mdn_mus(inputs), deviations, self.mdn_pi(inputs)], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape with K (2 D + 1) on the last axis."""
        return (*input_shape[:-1], self.num_mixtures * (2 * self.output_dimension + 1))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Vectors, and sequences with another activation."""
        yield Example(cls, {"output_dimension": 2, "num_mixtures": 3}, TensorSpec((2, 5)))
        config = {"output_dimension": 1, "num_mixtures": 2, "sigma_activation": "softplus"}
        traits = frozenset({"permutation_equivariant"})
        yield Example(cls, config, TensorSpec((2, 3, 4)), traits=traits, name="softplus")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, an unknown activation, unknown features."""
        good = {"output_dimension": 2, "num_mixtures": 3}
        yield Rejection(cls, {**good, "sigma_activation": "relu"}, "sigma_activation")
        yield Rejection(cls, good, "input_shape", build=(2, None))
