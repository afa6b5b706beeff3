"""Adaptive calibration error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Count, Rejection, Tensor, component
from dl_techniques.losses.arguments import require_integers
from dl_techniques.losses.ratio import ratio
from dl_techniques.metrics.calibration.streaming import ProbabilityMetric


@component(
    "dl_techniques>AdaptiveCalibrationError",
    kind="metric",
    tags=("calibration",),
    paper="arXiv:1904.01685",
    since="0.1",
)
class AdaptiveCalibrationError(ProbabilityMetric):
    """Adaptive calibration error: the mean gap over bins of equal mass, streamed over batches.

    ACE = 1 / B sum_b |acc_b - conf_b|, over bins of equally many forecasts

    Forecasts are those of the predicted class, or of the positive one for one column. Bins of
    equal mass are known only at the end: the state keeps a fine histogram whose cells are then
    joined, so that the value is that of the function `adaptive_calibration_error` up to the
    width of a cell.

    Args:
        bins: Number of bins of equal mass.
        cells: Number of cells of the histogram, at least `bins`.
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
        >>> from dl_techniques.metrics import AdaptiveCalibrationError
        >>> metric = AdaptiveCalibrationError(bins=2)
        >>> metric.update_state(np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.6, 0.8], "float32"))
        >>> round(float(metric.result()), 3)
        0.3

    References:
        Nixon et al., "Measuring Calibration in Deep Learning", arXiv:1904.01685.
    """

    def __init__(
        self,
        bins: Count = 15,
        cells: int = 1000,
        from_logits: bool = False,
        name: str | None = "adaptive_calibration_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits=from_logits, name=name, dtype=dtype)
        require_integers(bins, cells=cells)
        self.bins = bins
        self.cells = cells
        self.weight, self.confidence, self.outcome = (
            self.add_variable(shape=(cells,), initializer="zeros", name=name)
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
        cell = ops.cast(ops.clip(ops.floor(p * self.cells), 0, self.cells - 1), "int32")
        for total, values in (
            (self.weight, weight),
            (self.confidence, weight * p),
            (self.outcome, weight * outcome),
        ):
            total.assign_add(ops.segment_sum(values, cell, num_segments=self.cells))

    def result(self) -> Tensor:
        """Return the error; zero before the first sample."""
        weight = ops.convert_to_tensor(self.weight)
        total = ops.sum(weight)
        # A cell belongs to the bin in which the middle of its mass lies.
        middle = ratio(ops.cumsum(weight) - 0.5 * weight, total)
        index = ops.cast(ops.clip(ops.floor(middle * self.bins), 0, self.bins - 1), "int32")
        sums = [
            ops.segment_sum(ops.convert_to_tensor(v), index, num_segments=self.bins)
            for v in (self.weight, self.confidence, self.outcome)
        ]
        gaps = ratio(ops.abs(sums[2] - sums[1]), sums[0])
        used = ops.cast(ops.greater(sums[0], 0), gaps.dtype)
        return ratio(ops.sum(gaps), ops.sum(used))

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No bin, fewer cells than bins."""
        yield Rejection(cls, {"cells": 3}, "cells")
