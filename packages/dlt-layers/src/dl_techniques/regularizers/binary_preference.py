"""A penalty on entries that are neither 0 nor 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from keras import ops

from dl_techniques.core import Example, PositiveNumber, Tensor, TensorSpec, component
from dl_techniques.regularizers.preference import Preference


@component(
    "dl_techniques>BinaryPreferenceRegularizer",
    kind="regularizer",
    tags=("quantization", "binary"),
    since="0.1",
)
class BinaryPreferenceRegularizer(Preference):
    """Binary preference: pulls each entry of a weight towards 0 or 1.

    multiplier mean(c(w / scale)), with c(u) = (1 - 4 (u - 1/2)^2)^2 = 16 u^2 (1 - u)^2

    c has its zeros at 0 and 1 and a barrier of height 1 at 1/2. Outside [0, 1] it grows like
    u^4, so that a weight at 3 has the slope 960: start the weight within the wells, or combine
    the penalty with `ValueRangeConstraint(0, scale)`. Computed in float32 under half precision.

    Args:
        multiplier: Weight of the penalty.
        scale: Position of the upper well; the lower one is at 0.
        reduction: `"mean"`, which does not depend on the size of the weight, or `"sum"`, the
            convention of `keras.regularizers.L1` and `L2`.

    Raises:
        ValueError: If `multiplier` is negative, `scale` not positive, or `reduction` unknown.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.regularizers import BinaryPreferenceRegularizer
        >>> penalty = BinaryPreferenceRegularizer()
        >>> float(penalty(np.array([0.0, 1.0], "float32")))
        0.0
        >>> float(penalty(np.array([0.0, 0.5], "float32")))
        0.5
    """

    def __init__(
        self,
        multiplier: float = 1.0,
        scale: PositiveNumber = 1.0,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__(multiplier, reduction)
        self.scale = scale

    def _cost(self, w: Tensor) -> Tensor:
        """16 u^2 (1 - u)^2."""
        u = w / self.scale
        return 16.0 * ops.square(u * (1.0 - u))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A matrix, and a kernel with another upper well."""
        yield Example(cls, inputs=TensorSpec((6, 4)))
        config = {"multiplier": 0.1, "scale": 2.0, "reduction": "sum"}
        yield Example(cls, config, TensorSpec((3, 3, 2, 4)), name="kernel")
