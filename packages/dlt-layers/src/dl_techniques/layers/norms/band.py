"""Base of norms into a band."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    Example,
    InitializerLike,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    is_number,
    upcast,
)
from dl_techniques.layers.norms.axes import checked_axis, mean_square, positive_axes
from dl_techniques.layers.same_shape import SameShape


class Band(SameShape):
    """Scales its input so that a norm of it, by default the RMS, lies in [1 - alpha, 1].

    Args:
        max_band_width: alpha.
        axis: Axis or axes that are normalized together.
        epsilon: Least norm.
        mode: `"learned"` or `"magnitude"`.
        reference: The norm r_0 at which magnitude alone puts the output in the band's middle.
        band_initializer: Initializer of w.
        band_regularizer: Regularizer of w.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        max_band_width: float = 0.1,
        axis: int | Sequence[int] = -1,
        epsilon: PositiveNumber = 1e-7,
        mode: Literal["learned", "magnitude"] = "learned",
        reference: PositiveNumber = 1.0,
        band_initializer: InitializerLike = "zeros",
        band_regularizer: RegularizerLike | None = "default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not is_number(max_band_width) or not 0 < max_band_width < 1:
            raise ValueError(
                "`max_band_width` must lie between 0 and 1. "
                f"Received: max_band_width={max_band_width!r}"
            )
        self.max_band_width = max_band_width
        self.axis = checked_axis(axis)
        self.epsilon = epsilon
        self.mode = mode
        self.reference = reference
        self.band_initializer = keras.initializers.get(band_initializer)
        self.band_regularizer = (
            keras.regularizers.L2(1e-5)
            if band_regularizer == "default"
            else keras.regularizers.get(band_regularizer)
        )
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create w, a scalar."""
        positive_axes(self.axis, len(input_shape))
        self.band = self.add_weight(
            name="band",
            shape=(),
            initializer=self.band_initializer,
            regularizer=self.band_regularizer,
            autocast=False,
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize into the band, in float32 at least."""
        x = upcast(inputs)
        square = self._square(x, positive_axes(self.axis, len(x.shape)), mask)
        # epsilon^2, so that it is the least norm: for any larger one its share is invisible.
        square = square + self.epsilon**2
        w = ops.cast(self.band, x.dtype)
        if self.mode == "magnitude":
            w = w + 0.5 * ops.log(square / self.reference**2)
        s = 1.0 - self.max_band_width * (1.0 - ops.sigmoid(w))
        return ops.cast(x * (s * ops.rsqrt(square)), self.compute_dtype)

    def _square(self, x: Tensor, axes: Sequence[int], mask: Tensor | None) -> Tensor:
        """The square of the norm over the axes, which are kept."""
        return mean_square(x, axes, mask)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Both modes, and joint axes."""
        tokens = TensorSpec((2, 5, 6))
        traits = {"permutation_equivariant"}
        learned = frozenset({*traits, "scale_invariant"})
        yield Example(cls, {}, tokens, traits=learned)
        magnitude = {"mode": "magnitude", "max_band_width": 0.5, "reference": 2.0}
        yield Example(cls, magnitude, tokens, traits=frozenset(traits), name="magnitude")
        yield Example(cls, {"axis": (1, 2)}, TensorSpec((2, 3, 4, 2)), name="axes")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No band, an unknown mode, axes that are not there."""
        yield Rejection(cls, {"max_band_width": 0.0}, "max_band_width")
        yield Rejection(cls, {"max_band_width": 1.0}, "max_band_width")
        yield Rejection(cls, {"axis": 3}, "axis", build=(2, 3))
