"""Brier score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Rejection, Tensor, component
from dl_techniques.losses.arguments import require_one_of
from dl_techniques.losses.calibration.brier_score_loss import SCALES, brier_rows
from dl_techniques.metrics.calibration.streaming import ProbabilityMetric


@component(
    "dl_techniques>BrierScore",
    kind="metric",
    tags=("calibration",),
    since="0.1",
)
class BrierScore(ProbabilityMetric):
    """Brier score: mean squared distance of probabilities and outcomes, streamed over batches.

    B = sum_i w_i sum_k (p_ik - y_ik)^2 / sum_i w_i; with one column sum_i w_i (p_i - y_i)^2 / sum_i
    w_i

    Args:
        scale: `"sum"` over classes, `"half"` of it, or `"mean"`; see `BrierScoreLoss`.
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
        >>> from dl_techniques.metrics import BrierScore
        >>> p = np.array([0, 0.1, 0.2, 0.3, 0.5, 1, 1, 0.7], "float32")
        >>> y = np.array([0, 0, 1, 0, 1, 1, 0, 1])
        >>> metric = BrierScore()
        >>> metric.update_state(y, p)
        >>> round(float(metric.result()), 2)
        0.26

    References:
        Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather
        Review 78, 1950.
    """

    def __init__(
        self,
        scale: str = "sum",
        from_logits: bool = False,
        name: str | None = "brier_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits=from_logits, name=name, dtype=dtype)
        require_one_of(SCALES, scale=scale)
        self.scale = scale
        self.total = self.add_variable(shape=(), initializer="zeros", name="total")
        self.weight = self.add_variable(shape=(), initializer="zeros", name="weight")

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Add a batch.

        Args:
            y_true: Labels.
            y_pred: Predictions.
            sample_weight: Weights.
        """
        y, p, weight = self.rows(y_true, y_pred, sample_weight)
        scores = brier_rows(y, p, from_logits=False, scale=self.scale, label_smoothing=0.0)
        self.total.assign_add(ops.sum(weight * scores))
        self.weight.assign_add(ops.sum(weight))

    def result(self) -> Tensor:
        """Return the score; zero before the first sample."""
        return ops.divide_no_nan(self.total, self.weight)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """An unknown scale."""
        yield Rejection(cls, {"scale": "auto"}, "scale")
