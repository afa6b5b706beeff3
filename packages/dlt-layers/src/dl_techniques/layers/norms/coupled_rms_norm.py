"""Root mean square normalization by degrees."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    Example,
    Fraction,
    InitializerLike,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.norms.axes import (
    checked_axis,
    known_sizes,
    mean_square,
    positive_axes,
    spread,
)
from dl_techniques.layers.same_shape import SameShape

# The power of zero has no gradient; this square is far below those of any other input.
_TINY = 1e-30


@component(
    "dl_techniques>CoupledRMSNorm",
    kind="layer",
    tags=("normalization", "experimental"),
    since="0.1",
)
class CoupledRMSNorm(SameShape):
    """Root mean square normalization by degrees: the output keeps a share of the input's scale.

    y = gamma * x / (RMS(x)^c + epsilon), RMS(x) = sqrt(mean(x^2))

    c = 1 is RMS normalization and c = 0 the identity; between them RMS(y) = RMS(x)^(1 - c) for
    gamma = 1, and y(k x) = k^(1 - c) y(x) for k > 0. A trainable c is a sigmoid of its weight, so
    that it stays between 0 and 1. An experiment of this project's own; there is no paper. Computed
    in float32 at least; what a mask hides does not count.

    Args:
        coupling_strength: c, or where it starts.
        trainable_coupling: Whether c is learned.
        axis: Axis or axes that are normalized together.
        epsilon: Added to the divisor.
        use_scale: Whether to learn gamma.
        scale_initializer: Initializer of gamma.
        scale_regularizer: Regularizer of gamma.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any; the sizes on `axis` must be known for gamma.

    Output shape:
        The input's.

    Raises:
        ValueError: If `coupling_strength` is not within [0, 1] (between 0 and 1 if it is
            trainable), `epsilon` is not positive, `axis` is repeated or beyond the input's rank,
            or a size on it is unknown.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import CoupledRMSNorm
        >>> y = CoupledRMSNorm(0.5)(ops.array([[4.0, 4.0]]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [[2.0, 2.0]]

    References:
        Zhang and Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467 (c = 1).
    """

    def __init__(
        self,
        coupling_strength: Fraction = 0.5,
        trainable_coupling: bool = False,
        axis: int | Sequence[int] = -1,
        epsilon: PositiveNumber = 1e-6,
        use_scale: bool = True,
        scale_initializer: InitializerLike = "ones",
        scale_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if trainable_coupling and not 0 < coupling_strength < 1:
            raise ValueError(
                "`coupling_strength` must lie between 0 and 1 if it is trainable. "
                f"Received: coupling_strength={coupling_strength}"
            )
        self.coupling_strength = coupling_strength
        self.trainable_coupling = trainable_coupling
        self.axis = checked_axis(axis)
        self.epsilon = epsilon
        self.use_scale = use_scale
        self.scale_initializer = keras.initializers.get(scale_initializer)
        self.scale_regularizer = keras.regularizers.get(scale_regularizer)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create gamma and the weight of c."""
        positive_axes(self.axis, len(input_shape))
        c = self.coupling_strength
        self.coupling = (
            self.add_weight(
                name="coupling",
                shape=(),
                initializer=keras.initializers.Constant(math.log(c / (1 - c))),
                autocast=False,
            )
            if self.trainable_coupling
            else None
        )
        self.gamma = (
            self.add_weight(
                name="gamma",
                shape=known_sizes(self.axis, input_shape),
                initializer=self.scale_initializer,
                regularizer=self.scale_regularizer,
                autocast=False,
            )
            if self.use_scale
            else None
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize by a power of the root mean square."""
        x = upcast(inputs)
        square = mean_square(x, positive_axes(self.axis, len(x.shape)), mask) + _TINY
        c = self.coupling_strength if self.coupling is None else ops.sigmoid(self.coupling)
        c = ops.cast(c, x.dtype)
        y = x / (ops.exp(0.5 * c * ops.log(square)) + self.epsilon)
        if self.gamma is not None:
            y = y * spread(ops.cast(self.gamma, x.dtype), self.axis, x)
        return ops.cast(y, self.compute_dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Half way, learned, and joint axes."""
        tokens = TensorSpec((2, 5, 6))
        traits = frozenset({"permutation_equivariant"})
        yield Example(cls, {}, tokens, traits=traits)
        learned = {"coupling_strength": 0.8, "trainable_coupling": True}
        yield Example(cls, learned, tokens, traits=traits, name="learned")
        yield Example(
            cls,
            {"coupling_strength": 1.0, "axis": (1, -1), "use_scale": False},
            TensorSpec((2, 3, 4)),
            name="axes",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Strengths out of range, a useless epsilon, axes that are not there."""
        edge = {"coupling_strength": 1.0, "trainable_coupling": True}
        yield Rejection(cls, edge, "coupling_strength")
        yield Rejection(cls, {"axis": -3}, "axis", build=(2, 3))
