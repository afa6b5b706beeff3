"""Weights within a range."""

from __future__ import annotations

from collections.abc import Iterator

from keras import ops

from dl_techniques.core import Constraint, Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.layers.arguments import require_numbers


@component(
    "dl_techniques>ValueRangeConstraint",
    kind="constraint",
    tags=("range",),
    since="0.1",
)
class ValueRangeConstraint(Constraint):
    """Range constraint: projects every entry of a weight onto an interval.

    w' = min(max(w, min_value), max_value)

    Keras applies constraints after each step of the optimizer, not at the creation of the weight:
    choose an initializer that starts within the range.

    Args:
        min_value: Lower end.
        max_value: Upper end; `None` for no upper end.
        clip_gradients: Has no effect; kept so that earlier configurations load.

    Raises:
        ValueError: If an end is not finite, or the lower is above the upper.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.constraints import ValueRangeConstraint
        >>> w = ValueRangeConstraint(0.0, 1.0)(ops.array([-0.5, 0.25, 3.0]))
        >>> ops.convert_to_numpy(w).tolist()
        [0.0, 0.25, 1.0]
    """

    def __init__(
        self, min_value: float, max_value: float | None = None, clip_gradients: bool = False
    ) -> None:
        require_numbers(min_value=min_value)
        if max_value is not None:
            require_numbers(max_value=max_value)
        if max_value is not None and min_value > max_value:
            raise ValueError(
                "`min_value` must not be above `max_value`. "
                f"Received: min_value={min_value}, max_value={max_value}"
            )
        self.min_value = min_value
        self.max_value = max_value
        self.clip_gradients = clip_gradients

    def __call__(self, w: Tensor) -> Tensor:
        """The weight's projection.

        Args:
            w: The weight.
        """
        w = ops.convert_to_tensor(w)
        projected = ops.maximum(w, ops.cast(self.min_value, w.dtype))
        if self.max_value is None:
            return projected
        return ops.minimum(projected, ops.cast(self.max_value, w.dtype))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Both ends, and only the lower one."""
        traits = frozenset({"idempotent", "elementwise", "monotone"})
        yield Example(cls, {"min_value": -0.5, "max_value": 0.5}, TensorSpec((3, 4)), traits=traits)
        yield Example(cls, {"min_value": 0.0}, TensorSpec((5,)), traits=traits, name="lower_end")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """An empty range, ends that are no numbers."""
        yield Rejection(cls, {"min_value": 1.0, "max_value": 0.0}, "min_value")
        yield Rejection(cls, {"min_value": float("-inf")}, "min_value")
        yield Rejection(cls, {"min_value": 0.0, "max_value": float("nan")}, "max_value")
