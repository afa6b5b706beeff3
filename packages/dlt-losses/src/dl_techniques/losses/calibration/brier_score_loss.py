"""Brier score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Example, Loss, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_fractions, require_one_of
from dl_techniques.losses.targets import class_columns

SCALES = ("sum", "half", "mean")


@component(
    "dl_techniques>BrierScoreLoss",
    kind="loss",
    tags=("calibration", "classification"),
    since="0.1",
)
class BrierScoreLoss(Loss):
    """Brier score: squared distance between predicted probabilities and what happened.

    B_i = sum_k (p_ik - y_ik)^2, from 0 to 2 for several classes

    A proper score: the expected value is smallest at the true probabilities. With one column,
    B_i = (p_i - y_i)^2, which is half of the two-column form. A sample's value depends on that
    sample only, so weights and reduction are Keras's own: `"sum_over_batch_size"` divides by the
    number of samples, `"mean_with_sample_weight"` by the sum of their weights.

    Args:
        from_logits: Whether predictions are logits; the softmax over several columns or the
            sigmoid of one is taken first.
        scale: `"sum"`: the sum over classes; `"half"`: half of it; `"mean"`: their mean, which is
            the mean squared error. Without effect on one column.
        label_smoothing: Share of each label that is spread over all classes, from 0 to 1.
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_pred`: `(batch, ..., classes)`, or one column. `y_true`: the same, or class numbers
        `(batch, ...)` or `(batch, ..., 1)`.

    Output shape:
        `()`; `(batch, ...)` with `reduction=None`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import BrierScoreLoss
        >>> p = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
        >>> round(float(BrierScoreLoss()(np.array([0, 2]), p)), 4)
        0.34

    References:
        Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather
        Review 78, 1950.
    """

    def __init__(
        self,
        from_logits: bool = False,
        scale: str = "sum",
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "brier_score_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        require_one_of(SCALES, scale=scale)
        require_fractions(label_smoothing=label_smoothing)
        self.from_logits = from_logits
        self.scale = scale
        self.label_smoothing = label_smoothing

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the score of each sample.

        Args:
            y_true: Columns or class numbers.
            y_pred: Probabilities or logits.
        """
        if len(y_pred.shape) == 1:
            y_pred = ops.expand_dims(y_pred, -1)
        y, _ = class_columns(y_true, y_pred, None)
        return brier_rows(y, y_pred, self.from_logits, self.scale, self.label_smoothing)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Class numbers, and logits of one column."""
        numbers = TensorSpec((6,), dtype="int32", low=0, high=3)
        yield Example(cls, {}, (numbers, TensorSpec((6, 3), values="probabilities")))
        one = (TensorSpec((6, 1), values="binary"), TensorSpec((6, 1)))
        config = {"from_logits": True, "label_smoothing": 0.1}
        yield Example(cls, config, one, name="logits")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown scales, smoothing beyond the whole label."""
        yield Rejection(cls, {"scale": "auto"}, "scale")
        yield Rejection(cls, {"label_smoothing": 2.0}, "label_smoothing")


def brier_rows(
    y: Tensor, scores: Tensor, from_logits: bool, scale: str, label_smoothing: float
) -> Tensor:
    """Return the Brier score of each row.

    Args:
        y: Labels `(..., classes)`.
        scores: Probabilities or logits.
        from_logits: Whether `scores` are logits.
        scale: One of `SCALES`.
        label_smoothing: Share of each label that is spread over all classes.
    """
    classes = scores.shape[-1]
    p = probabilities(scores, from_logits)
    # One column stands for two classes.
    y = y * (1.0 - label_smoothing) + label_smoothing / max(classes, 2)
    squares = ops.sum((p - y) ** 2, axis=-1)
    if classes == 1 or scale == "sum":
        return squares
    return squares / 2 if scale == "half" else squares / classes


def probabilities(scores: Tensor, from_logits: bool) -> Tensor:
    """Return probabilities from probabilities or logits `(..., classes)`.

    Args:
        scores: Predictions.
        from_logits: Whether they are logits.
    """
    if not from_logits:
        return scores
    return ops.sigmoid(scores) if scores.shape[-1] == 1 else ops.softmax(scores)
