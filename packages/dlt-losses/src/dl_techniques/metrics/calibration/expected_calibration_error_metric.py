"""Expected calibration error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Count, Rejection, Tensor, component
from dl_techniques.losses.arguments import require_one_of
from dl_techniques.losses.ratio import ratio
from dl_techniques.metrics.calibration.inputs import NORMS, bin_members
from dl_techniques.metrics.calibration.streaming import ProbabilityMetric


@component(
    "dl_techniques>ExpectedCalibrationError",
    kind="metric",
    tags=("calibration",),
    paper="arXiv:1706.04599",
    since="0.1",
)
class ExpectedCalibrationError(ProbabilityMetric):
    """Expected calibration error: distance between confidence and accuracy, streamed over batches.

    l1 (ECE): sum_b n_b / N |acc_b - conf_b|; l2: the root of sum_b n_b / N (acc_b - conf_b)^2;
    max (MCE): the largest |acc_b - conf_b| of a bin that is not empty

    Forecasts are those of the predicted class, or of the positive one for one column, in bins of
    equal width. The state holds three sums a bin, so that the value is exact over batches. The
    function `expected_calibration_error` has bins of equal mass and errors of each class, too.

    Args:
        bins: Number of bins of equal width.
        norm: `"l1"`, `"l2"` or `"max"`.
        right: Whether bins are (lo, hi], with 0 in the first, or [lo, hi), with 1 in the last.
        from_logits: Whether predictions are logits.
        name: Name of the metric.
        dtype: Dtype of its state.

    Input shape:
        `y_pred`: `(batch, ..., classes)`, or one column of the positive class. `y_true`: the same,
        or class numbers. `sample_weight`: `(batch,)`, up to one weight a position. Positions that
        a mask of `y_pred` hides do not count.

    Output shape:
        `()`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.metrics import ExpectedCalibrationError
        >>> p = np.array([0, 0.1, 0.2, 0.3, 0.5, 1, 1, 0.7], "float32")
        >>> y = np.array([0, 0, 1, 0, 1, 1, 0, 1])
        >>> metric = ExpectedCalibrationError(bins=10)
        >>> metric.update_state(y, p)
        >>> round(float(metric.result()), 3)
        0.375

    References:
        Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599.
    """

    def __init__(
        self,
        bins: Count = 15,
        norm: str = "l1",
        right: bool = True,
        from_logits: bool = False,
        name: str | None = "expected_calibration_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits=from_logits, name=name, dtype=dtype)
        require_one_of(NORMS, norm=norm)
        self.bins = bins
        self.norm = norm
        self.right = right
        self.weight, self.confidence, self.outcome = (
            self.add_variable(shape=(bins,), initializer="zeros", name=name)
            for name in ("weight", "confidence", "outcome")
        )

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Add a batch.

        Args:
            y_true: Labels.
            y_pred: Predictions.
            sample_weight: Weights.
        """
        outcome, p, weight = self.top(y_true, y_pred, sample_weight)
        members = weight[:, None] * bin_members(p, self.bins, self.right)
        self.weight.assign_add(ops.sum(members, axis=0))
        self.confidence.assign_add(ops.sum(members * p[:, None], axis=0))
        self.outcome.assign_add(ops.sum(members * outcome[:, None], axis=0))

    def result(self) -> Tensor:
        """Return the error; zero before the first sample."""
        # The sums of a bin differ by its weight times its gap.
        gaps = ops.abs(self.outcome - self.confidence)
        total = ops.sum(self.weight)
        if self.norm == "l1":
            return ratio(ops.sum(gaps), total)
        gaps = ratio(gaps, ops.convert_to_tensor(self.weight))
        if self.norm == "max":
            return ops.max(gaps)
        return ops.sqrt(ratio(ops.sum(self.weight * gaps**2), total))

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No bin, an unknown norm."""
        yield Rejection(cls, {"norm": "l3"}, "norm")
