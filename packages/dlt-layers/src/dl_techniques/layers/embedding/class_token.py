"""Learned tokens before a sequence."""

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
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)


@component(
    "dl_techniques>ClassToken",
    kind="layer",
    tags=("embedding", "transformer", "vision"),
    paper="arXiv:2010.11929",
    since="0.1",
)
class ClassToken(Layer):
    """Puts learned tokens before a sequence: a class token, and registers after it.

    y = [c_1, ..., c_n, x_1, ..., x_T]

    Args:
        num_tokens: Number n of tokens.
        initializer: Initializer of the tokens.
        regularizer: Regularizer of the tokens.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, T, D)`; the tokens may be unknown. A mask is extended by tokens that count.

    Output shape:
        `(batch, n + T, D)`.

    Raises:
        ValueError: If `num_tokens` is not positive.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import ClassToken
        >>> tuple(ClassToken()(keras.ops.ones((2, 4, 3))).shape)
        (2, 5, 3)

    References:
        Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929; registers: Darcet et
        al., "Vision Transformers Need Registers", arXiv:2309.16588.
    """

    def __init__(
        self,
        num_tokens: Count = 1,
        initializer: InitializerLike = "zeros",
        regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_tokens = num_tokens
        self.initializer = keras.initializers.get(initializer)
        self.regularizer = keras.regularizers.get(regularizer)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create the tokens `(n, D)`."""
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise ValueError(
                "The input must be (batch, tokens, features) with known features. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.tokens = self.add_weight(
            name="tokens",
            shape=(self.num_tokens, input_shape[-1]),
            initializer=self.initializer,
            regularizer=self.regularizer,
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Put the tokens first, in the compute dtype."""
        batch, _, features = ops.shape(inputs)
        tokens = ops.cast(ops.convert_to_tensor(self.tokens), inputs.dtype)[None]
        tokens = ops.broadcast_to(tokens, (batch, self.num_tokens, features))
        return ops.concatenate([tokens, inputs], axis=1)

    def compute_mask(
        self,
        inputs: Tensor,  # noqa: ARG002  # Keras's signature
        previous_mask: Tensor | None = None,
    ) -> Tensor | None:
        """Extend the mask: the new tokens count."""
        if previous_mask is None:
            return None
        return ops.pad(previous_mask, ((0, 0), (self.num_tokens, 0)), constant_values=True)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """As many tokens more."""
        batch, tokens, features = input_shape
        return (batch, None if tokens is None else tokens + self.num_tokens, features)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A class token, and one with registers."""
        tokens = TensorSpec((2, 3, 4))
        yield Example(cls, {}, tokens)
        registers = {"num_tokens": 3, "initializer": "ones"}
        yield Example(cls, registers, tokens, name="registers")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No tokens, no sequence."""
        yield Rejection(cls, {}, "input_shape", build=(2, 3))
