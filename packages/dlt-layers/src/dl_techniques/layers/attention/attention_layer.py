"""Base of attention layers over sequences: projections, masks, outputs."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Count,
    Fraction,
    InitializerLike,
    Layer,
    RegularizerLike,
    Shape,
    Tensor,
)
from dl_techniques.layers.attention.attend import Normalizer, all_of, attend
from dl_techniques.layers.parts import dense_part


class AttentionLayer(Layer):
    """Multi-head attention whose parts subclasses replace.

    O = concat_h(attend(X W_q, Y W_k, Z W_v)_h) W_o

    A subclass sets, before `build`, the widths `key_width` and `value_width` of a head, and
    `kv_heads` and `output_width` if they are not the number of heads and the query's width.

    Args:
        num_heads: Number of heads H.
        dropout: Rate of dropped attention weights in training.
        use_bias: Whether the projections have biases.
        use_output_bias: Whether W_o has a bias; `None` for `use_bias`.
        kernel_initializer: Initializer of the projections.
        bias_initializer: Initializer of their biases.
        kernel_regularizer: Regularizer of the projections.
        bias_regularizer: Regularizer of their biases.
        kernel_constraint: Constraint on the projections.
        bias_constraint: Constraint on their biases.
        seed: Seed of the dropout.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    key_width: int
    value_width: int
    kv_heads: int
    output_width: int | None = None

    def __init__(
        self,
        num_heads: Count,
        *,
        dropout: Fraction = 0.0,
        use_bias: bool = True,
        use_output_bias: bool | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.kv_heads = num_heads
        self.dropout = dropout
        self.use_bias = use_bias
        self.use_output_bias = use_output_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout > 0 else None
        self.supports_masking = True

    def build(
        self,
        query_shape: Shape,
        value_shape: Shape | None = None,
        key_shape: Shape | None = None,
    ) -> None:
        """Build the projections."""
        value_shape = query_shape if value_shape is None else value_shape
        key_shape = value_shape if key_shape is None else key_shape
        shapes = {"query": query_shape, "key": key_shape, "value": value_shape}
        for name, shape in shapes.items():
            if len(shape) != 3 or shape[-1] is None:
                raise ValueError(
                    f"`{name}` must be (batch, tokens, features) with known features. "
                    f"Received: {name}_shape={tuple(shape)}"
                )
        bias = self.use_bias
        self.build_projections(query_shape, key_shape, value_shape)
        bias = bias if self.use_output_bias is None else self.use_output_bias
        output_width = self.output_width or query_shape[-1] or 0
        self.output_projection = dense_part(self, output_width, "output", use_bias=bias)
        self.output_projection.build((None, None, self.num_heads * self.value_width))
        self.built = True

    def build_projections(self, query_shape: Shape, key_shape: Shape, value_shape: Shape) -> None:
        """Create and build W_q, W_k and W_v.

        Args:
            query_shape: Shape of X.
            key_shape: Shape of Y.
            value_shape: Shape of Z.
        """
        bias = self.use_bias
        self.query_projection = dense_part(
            self, self.num_heads * self.key_width, "query", use_bias=bias
        )
        self.key_projection = dense_part(self, self.kv_heads * self.key_width, "key", use_bias=bias)
        self.value_projection = dense_part(
            self, self.kv_heads * self.value_width, "value", use_bias=bias
        )
        self.query_projection.build(query_shape)
        self.key_projection.build(key_shape)
        self.value_projection.build(value_shape)

    def call(
        self,
        query: Tensor,
        value: Tensor | None = None,
        key: Tensor | None = None,
        attention_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        mask: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
    ) -> Any:
        """Project, attend, project back."""
        own = value is None and key is None
        real = all_of(padding_mask, value_mask, key_mask, *((mask, query_mask) if own else ()))
        value = query if value is None else value
        key = value if key is None else key
        result = self.attention(
            query,
            key,
            value,
            mask=attention_mask,
            padding_mask=real,
            causal=use_causal_mask,
            dropout=self.dropout,
            seed=self.seed_generator,
            training=training,
            normalizer=self.normalizer(training),
            return_scores=return_attention_scores,
        )
        output, *scores = result if return_attention_scores else (result,)
        output = self.output_projection(merge_heads(output))
        # Products of float64 are float32 in Keras on PyTorch.
        output, *scores = (ops.cast(x, self.compute_dtype) for x in (output, *scores))
        return (output, *scores) if return_attention_scores else output

    def attention(self, query: Tensor, key: Tensor, value: Tensor, **how: Any) -> Any:
        """Attend with the projected inputs.

        Args:
            query: (B, T, features).
            key: (B, S, features).
            value: (B, S, features).
            **how: Arguments of `attend`.

        Returns:
            (B, T, H, value width), with the scores if they are wanted.
        """
        q = split_heads(self.query_projection(query), self.num_heads)
        k = split_heads(self.key_projection(key), self.kv_heads)
        v = split_heads(self.value_projection(value), self.kv_heads)
        return attend(q, k, v, **how)

    def normalizer(self, training: bool | None) -> Normalizer | None:  # noqa: ARG002 -- for subclasses
        """Return a replacement of the softmax, or `None`.

        Args:
            training: Whether the layer is being trained.
        """
        return None

    def compute_output_shape(
        self,
        query_shape: Shape,
        value_shape: Shape | None = None,  # noqa: ARG002 -- Keras passes it
        key_shape: Shape | None = None,  # noqa: ARG002 -- Keras passes it
    ) -> Shape:
        """The query's tokens, with the output's features."""
        return (*query_shape[:-1], self.output_width or query_shape[-1])

    def compute_output_spec(
        self,
        query: Tensor,
        value: Tensor | None = None,
        key: Tensor | None = None,
        *args: Any,
        return_attention_scores: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The output, with the scores if they are wanted."""
        del args, kwargs  # masks, which change no shape
        shape = self.compute_output_shape(query.shape)
        output = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        keys = next(x for x in (key, value, query) if x is not None)
        scores_shape = (shape[0], self.num_heads, shape[1], keys.shape[1])
        return output, keras.KerasTensor(scores_shape, dtype=self.compute_dtype)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads * width) as (B, N, heads, width).

    Args:
        x: A projection.
        heads: Number of heads.
    """
    return ops.reshape(x, (*ops.shape(x)[:2], heads, x.shape[-1] // heads))


def merge_heads(x: Tensor) -> Tensor:
    """(B, N, heads, width) as (B, N, heads * width).

    Args:
        x: Output of `attend`.
    """
    return ops.reshape(x, (*ops.shape(x)[:2], x.shape[2] * x.shape[3]))
