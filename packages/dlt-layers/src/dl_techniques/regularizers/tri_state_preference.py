"""A penalty on entries that are not -1, 0 or 1."""

from __future__ import annotations

from collections.abc import Iterator

from keras import ops

from dl_techniques.core import Example, Tensor, TensorSpec, component
from dl_techniques.regularizers.preference import Preference


@component(
    "dl_techniques>TriStatePreferenceRegularizer",
    kind="regularizer",
    tags=("quantization", "ternary"),
    since="0.1",
)
class TriStatePreferenceRegularizer(Preference):
    """Ternary preference: pulls each entry of a weight towards -1, 0 or 1.

    multiplier mean(c(w)), with c(w) = 27/4 w^2 (1 - w^2)^2

    Up to its factor, c is the only even polynomial of degree six with double zeros at -1, 0 and
    1. The factor gives the barriers, at +-1/sqrt(3), the height 1, as in
    `BinaryPreferenceRegularizer`. The outer wells are four times as stiff as the middle one:
    c''(0) = 13.5, c''(+-1) = 54. Beyond them c grows like w^6: combine it with
    `ValueRangeConstraint(-1, 1)` where weights may start there. Computed in float32 under half
    precision.

    Args:
        **kwargs: Settings of `Preference` (`multiplier`, `reduction`).

    Raises:
        ValueError: If `multiplier` is negative or `reduction` unknown.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.regularizers import TriStatePreferenceRegularizer
        >>> penalty = TriStatePreferenceRegularizer()
        >>> float(penalty(np.array([-1.0, 0.0, 1.0], "float32")))
        0.0
        >>> round(float(penalty(np.array([3**-0.5], "float32"))), 4)
        1.0
    """

    def _cost(self, w: Tensor) -> Tensor:
        """27/4 w^2 (1 - w^2)^2."""
        return 6.75 * ops.square(w * (1.0 - ops.square(w)))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A matrix, and a kernel summed up."""
        yield Example(cls, inputs=TensorSpec((6, 4)))
        config = {"multiplier": 0.1, "reduction": "sum"}
        yield Example(cls, config, TensorSpec((3, 3, 2, 4)), name="kernel")
