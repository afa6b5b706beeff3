"""Base of losses that couple the samples of a batch."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dl_techniques.core import Loss, Tensor


class Rows(keras.losses.Loss):  # type: ignore[misc]  # Keras ships no types
    """Keras's own reduction of values that are computed already.

    It also divides by the number of replicas of a distribution strategy, as Keras's losses do.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the values.

        Args:
            y_true: Ignored.
            y_pred: One value a row.
        """
        del y_true
        return y_pred


class BatchLoss(Loss):
    """Base of losses that use weights and masks inside, because their rows depend on each other.

    Keras multiplies the value of a loss by the weights after the fact, which for a value of the
    whole batch means nothing. Here a row of weight two counts as the row given twice, one of
    weight zero or hidden by the mask of the predictions as a row left out: reductions to a mean
    divide by the sum of the weights (Keras's `"mean_with_sample_weight"`), not by the number of
    rows.

    A subclass implements `rows`.

    Args:
        reduction: `"sum_over_batch_size"`, `"mean"` and `"mean_with_sample_weight"`: the
            weighted mean; `"sum"`: the weighted sum; `None`: the weighted values.
        name: Name of the loss.
        dtype: Dtype of the result.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def rows(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the value and the weight of each row, `(rows,)` both.

        Args:
            y_true: Targets as given.
            y_pred: Predictions as given, with their mask.
            sample_weight: Weights as given.
        """
        raise NotImplementedError

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Return the loss of a batch.

        Args:
            y_true: Targets.
            y_pred: Predictions; a mask that they carry counts.
            sample_weight: Weights.
        """
        with keras.name_scope(self.name):
            values, weight = self.rows(y_true, y_pred, sample_weight)
            values = ops.where(ops.equal(weight, 0), ops.zeros_like(values), values)
            return self._reduced(values, weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of a batch without weights.

        Args:
            y_true: Targets.
            y_pred: Predictions.
        """
        return self(y_true, y_pred)

    @property
    def wide_dtype(self) -> str:
        """The dtype of the computation: float32 at least."""
        return "float64" if self.dtype == "float64" else "float32"

    def _reduced(self, values: Tensor, weight: Tensor) -> Tensor:
        reduction = self.reduction
        if reduction in {"sum_over_batch_size", "mean"}:
            reduction = "mean_with_sample_weight"
        rows = Rows(reduction=reduction, dtype=self.wide_dtype)
        return ops.cast(rows(values, values, weight), self.dtype)
