"""Spiegelhalter Z."""

from __future__ import annotations

from typing import Any

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.metrics.calibration.streaming import ProbabilityMetric


@component(
    "dl_techniques>SpiegelhalterZ",
    kind="metric",
    tags=("calibration",),
    since="0.1",
)
class SpiegelhalterZ(ProbabilityMetric):
    """Spiegelhalter Z: test statistic of calibration, streamed over batches.

    Z = sum_i w_i (y_i - p_i) (1 - 2 p_i) / sqrt(sum_i w_i^2 (1 - 2 p_i)^2 p_i (1 - p_i))

    Standard normal if the forecasts are calibrated; far above zero if they are over-confident, far
    below if under-confident. Forecasts are those of the predicted class, or of the positive one
    for one column. Weights are weights of a sum and its variance: unlike in the loss, weight 2 is
    not a sample given twice, which would be no independent evidence.

    Args:
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
        >>> from dl_techniques.metrics import SpiegelhalterZ
        >>> metric = SpiegelhalterZ()
        >>> p = np.array([0.1, 0.3, 0.8, 0.6, 0.95], "float32")
        >>> metric.update_state(np.array([0, 1, 1, 0, 1]), p)
        >>> round(float(metric.result()), 4)
        0.3493

    References:
        Spiegelhalter, "Probabilistic prediction in patient management and clinical trials",
        Statistics in Medicine 5, 1986, doi:10.1002/sim.4780050506.
    """

    def __init__(
        self,
        from_logits: bool = False,
        name: str | None = "spiegelhalter_z",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits=from_logits, name=name, dtype=dtype)
        self.excess = self.add_variable(shape=(), initializer="zeros", name="excess")
        self.variance = self.add_variable(shape=(), initializer="zeros", name="variance")

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Add a batch.

        Args:
            y_true: Labels.
            y_pred: Predictions.
            sample_weight: Weights.
        """
        y, p, weight = self.top(y_true, y_pred, sample_weight)
        slope = 1.0 - 2.0 * p
        self.excess.assign_add(ops.sum(weight * (y - p) * slope))
        self.variance.assign_add(ops.sum(weight**2 * slope**2 * p * (1.0 - p)))

    def result(self) -> Tensor:
        """Return Z; zero before the first sample."""
        return ops.divide_no_nan(self.excess, ops.sqrt(self.variance))
