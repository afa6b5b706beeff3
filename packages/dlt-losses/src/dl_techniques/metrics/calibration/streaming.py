"""Base of streaming metrics of probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Example, Metric, Tensor, TensorSpec
from dl_techniques.losses.calibration.brier_score_loss import probabilities
from dl_techniques.losses.targets import Targets, align_rows


class ProbabilityMetric(Metric):
    """Base of streaming metrics of probabilities.

    Args:
        from_logits: Whether predictions are logits.
        name: Name of the metric.
        dtype: Dtype of its state.
    """

    def __init__(
        self, from_logits: bool = False, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.from_logits = from_logits

    def rows(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Targets:
        """Return labels, probabilities and weights, one row a sample or position.

        Args:
            y_true: Labels.
            y_pred: Predictions, with their mask.
            sample_weight: Weights.
        """
        y, scores, weight = align_rows(y_true, y_pred, sample_weight, dtype=self.dtype)
        return Targets(y, probabilities(scores, self.from_logits), weight)

    def top(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Targets:
        """Return the forecast of the predicted class, `(rows,)` each.

        One column is the forecast of the positive class.

        Args:
            y_true: Labels.
            y_pred: Predictions, with their mask.
            sample_weight: Weights.
        """
        y, p, weight = self.rows(y_true, y_pred, sample_weight)
        if p.shape[-1] > 1:
            index = ops.argmax(p, axis=-1)[:, None]
            y, p = (ops.take_along_axis(t, index, axis=-1) for t in (y, p))
        return Targets(y[:, 0], p[:, 0], weight)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """One column, and logits of several classes."""
        one = (TensorSpec((8, 1), values="binary"), TensorSpec((8, 1), low=0.05, high=0.95))
        yield Example(cls, {}, one)
        numbers = TensorSpec((8,), dtype="int32", low=0, high=3)
        several = (numbers, TensorSpec((8, 3)))
        yield Example(cls, {"from_logits": True}, several, name="logits")
