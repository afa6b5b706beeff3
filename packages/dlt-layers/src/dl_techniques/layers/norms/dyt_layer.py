"""Dynamic tanh, in the place of a norm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    Example,
    InitializerLike,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    is_number,
    upcast,
)
from dl_techniques.layers.norms.axes import checked_axis, known_sizes, spread
from dl_techniques.layers.same_shape import SameShape


@component(
    "dl_techniques>DyTLayer",
    kind="layer",
    tags=("normalization", "transformer"),
    paper="arXiv:2503.10622",
    aliases=("dl_techniques>DynamicTanh",),
    since="0.1",
)
class DyTLayer(SameShape):
    """Dynamic tanh: squashes each number by itself, in the place of layer normalization.

    y = gamma * tanh(alpha x) + beta

    There is no statistic over tokens or features: |y - beta| <= |gamma|. Computed in float32 at
    least.

    Args:
        alpha_init_value: Where the scalar alpha starts. The paper takes 0.5; large language
            models want less, and more in attention than elsewhere.
        axis: Axis or axes with a gamma and beta of their own.
        gamma_initializer: Initializer of gamma.
        beta_initializer: Initializer of beta.
        gamma_regularizer: Regularizer of gamma.
        beta_regularizer: Regularizer of beta.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any; the sizes on `axis` must be known.

    Output shape:
        The input's.

    Raises:
        ValueError: If `alpha_init_value` is no number, `axis` is repeated or beyond the input's
            rank, or a size on it is unknown.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import DyTLayer
        >>> y = DyTLayer()(ops.array([[-1.0, 0.0, 100.0]]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [[-0.4621, 0.0, 1.0]]

    References:
        Zhu et al., "Transformers without Normalization", arXiv:2503.10622.
    """

    def __init__(
        self,
        alpha_init_value: float = 0.5,
        axis: int | Sequence[int] = -1,
        gamma_initializer: InitializerLike = "ones",
        beta_initializer: InitializerLike = "zeros",
        gamma_regularizer: RegularizerLike | None = None,
        beta_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not is_number(alpha_init_value):
            raise ValueError(
                "`alpha_init_value` must be a finite number. "
                f"Received: alpha_init_value={alpha_init_value!r}"
            )
        self.alpha_init_value = alpha_init_value
        self.axis = checked_axis(axis)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.beta_initializer = keras.initializers.get(beta_initializer)
        self.gamma_regularizer = keras.regularizers.get(gamma_regularizer)
        self.beta_regularizer = keras.regularizers.get(beta_regularizer)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create alpha, gamma and beta."""
        shape = known_sizes(self.axis, input_shape)
        self.alpha = self.add_weight(
            name="alpha",
            shape=(),
            initializer=keras.initializers.Constant(self.alpha_init_value),
            autocast=False,
        )
        self.gamma = self.add_weight(
            name="gamma",
            shape=shape,
            initializer=self.gamma_initializer,
            regularizer=self.gamma_regularizer,
            autocast=False,
        )
        self.beta = self.add_weight(
            name="beta",
            shape=shape,
            initializer=self.beta_initializer,
            regularizer=self.beta_regularizer,
            autocast=False,
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Squash, scale, shift."""
        x = upcast(inputs)
        gamma, beta = (
            spread(ops.cast(weight, x.dtype), self.axis, x) for weight in (self.gamma, self.beta)
        )
        y = gamma * ops.tanh(ops.cast(self.alpha, x.dtype) * x) + beta
        return ops.cast(y, self.compute_dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Tokens, and channels in the middle."""
        traits = frozenset({"permutation_equivariant", "elementwise"})
        yield Example(cls, {}, TensorSpec((2, 3, 5)), traits=traits)
        first = {"axis": 1, "alpha_init_value": 1.5}
        yield Example(cls, first, TensorSpec((2, 3, 4, 2)), name="axis_1")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No number, axes that are not there or of unknown size."""
        yield Rejection(cls, {"alpha_init_value": float("inf")}, "alpha_init_value")
        yield Rejection(cls, {"axis": 3}, "axis", build=(2, 3))
        yield Rejection(cls, {}, "axis", build=(2, None))
