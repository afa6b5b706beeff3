"""Base of the feed-forward blocks."""

from __future__ import annotations

from typing import Any

import keras

from dl_techniques.core import Count, Fraction, InitializerLike, Layer, RegularizerLike, Shape
from dl_techniques.layers.parts import features_of, offset_seed


class FeedForward(Layer):
    """A block that maps the features of each token through a hidden width.

    Args:
        hidden_dim: Width in the middle; `None` where the block has a rule for it.
        output_dim: Width of the output; `None` for that of the input.
        dropout: Rate of dropout, where the block's formula has it.
        use_bias: Whether the dense layers learn biases.
        kernel_initializer: Initializer of their kernels.
        bias_initializer: Initializer of their biases.
        kernel_regularizer: Regularizer of their kernels.
        bias_regularizer: Regularizer of their biases.
        seed: Seed of dropout.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        hidden_dim: Count | None = None,
        output_dim: Count | None = None,
        *,
        dropout: Fraction = 0.0,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.output_dim = output_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.seed = seed
        self.supports_masking = True

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape with `output_dim` on the last axis."""
        return (*input_shape[:-1], self.output_dim or input_shape[-1])

    def _drop(self, offset: int = 0) -> Any:
        """A dropout; `offset` tells those of one block apart."""
        seed = offset_seed(self.seed, offset)
        return keras.layers.Dropout(self.dropout, seed=seed, dtype=self.dtype_policy)

    def _widths(self, input_shape: Shape) -> tuple[int, int]:
        """Features of the input and of the output."""
        features = features_of(input_shape)
        return features, self.output_dim or features
