"""Base of activations with an expanded gate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Example,
    InitializerLike,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    upcast,
)
from dl_techniques.layers.activations.elementwise import Elementwise


class ExpandedGate(Elementwise):
    """x times a gate whose range (0, 1) is expanded to (-alpha, 1 + alpha).

    f(x) = x (g(x) (1 + 2 alpha) - alpha); a subclass says what g is.

    Args:
        per_channel: Whether each position on the last axis has an alpha of its own.
        alpha_initializer: Initializer of alpha.
        alpha_regularizer: Regularizer of alpha.
        alpha_constraint: Constraint on alpha.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        per_channel: bool = False,
        alpha_initializer: InitializerLike = "zeros",
        alpha_regularizer: RegularizerLike | None = None,
        alpha_constraint: ConstraintLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.per_channel = per_channel
        self.alpha_initializer = keras.initializers.get(alpha_initializer)
        self.alpha_regularizer = keras.regularizers.get(alpha_regularizer)
        self.alpha_constraint = keras.constraints.get(alpha_constraint)

    def build(self, input_shape: Shape) -> None:
        """Create alpha, `()` or `(channels,)`."""
        shape = (input_shape[-1],) if self.per_channel else ()
        if None in shape:
            raise ValueError(
                "The channels must be known if `per_channel` is true. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.alpha = self.add_weight(
            name="alpha",
            shape=[size for size in shape if size is not None],
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
            autocast=False,
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Gate, in float32 at least."""
        x = upcast(inputs)
        alpha = ops.cast(self.alpha, x.dtype)
        y = x * (self._gate(x) * (1.0 + 2.0 * alpha) - alpha)
        return ops.cast(y, self.compute_dtype)

    def _gate(self, x: Tensor) -> Tensor:
        """g, with values from 0 to 1 and g(0) = 1/2."""
        return ops.sigmoid(x)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """One alpha for all, and one for each channel."""
        alpha = {"alpha_initializer": keras.initializers.Constant(0.3)}
        traits = frozenset({"elementwise"})
        yield Example(cls, {}, TensorSpec((2, 3, 5)), traits=traits)
        per_channel = {"per_channel": True, **alpha}
        yield Example(cls, per_channel, TensorSpec((2, 4)), traits=traits, name="per_channel")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown channels."""
        yield Rejection(cls, {"per_channel": True}, "per_channel", build=(2, None))
