"""Base of AnyLoss losses with a fixed metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dl_techniques.losses.any_loss.any_loss import AnyLoss


class FixedMetricLoss(AnyLoss):
    """One minus a metric of the confusion matrix that the class itself brings.

    Args:
        amplifying_scale: The steepness L of the approximation; see `AnyLoss`.
        from_logits: Whether predictions are logits.
        average: How several classes become one number; see `AnyLoss`.
        ignore_class: A label whose samples do not count.
        epsilon: Added under the root of metrics that have one, so that its gradient is finite.
        reduction: Of effect only with `average=None`.
        name: Name of the loss; by default its class in snake case.
        dtype: Dtype of the result.
    """

    default_name: ClassVar[str]
    expected_failures: ClassVar[Mapping[str, str]] = {}  # unlike `AnyLoss`, it has its metric

    def __init__(
        self,
        amplifying_scale: float = 10.0,
        from_logits: bool = False,
        average: str | None = "macro",
        ignore_class: int | None = None,
        epsilon: float = 1e-7,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            amplifying_scale=amplifying_scale,
            from_logits=from_logits,
            average=average,
            ignore_class=ignore_class,
            epsilon=epsilon,
            reduction=reduction,
            name=name or self.default_name,
            dtype=dtype,
        )
