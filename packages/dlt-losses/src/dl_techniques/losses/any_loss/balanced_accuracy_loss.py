"""One minus the balanced accuracy."""

from __future__ import annotations

from typing import Any

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.losses.any_loss.any_loss import AnyLoss
from dl_techniques.losses.ratio import ratio


@component(
    "dl_techniques>BalancedAccuracyLoss",
    kind="loss",
    tags=("any-loss", "classification", "imbalance"),
    paper="arXiv:2405.14745",
    since="0.1",
)
class BalancedAccuracyLoss(AnyLoss):
    """Balanced accuracy loss: one minus the mean of sensitivity and specificity.

    B = (TP / (TP + FN) + TN / (TN + FP)) / 2, loss = 1 - B, on the soft confusion matrix of
    `AnyLoss`.

    If a batch holds no positive or no negative sample, B is the other one's rate alone, as in
    scikit-learn. Several classes are averaged one against the rest, which is not scikit-learn's
    mean recall.

    Args:
        amplifying_scale: The steepness L of the approximation; see `AnyLoss`.
        from_logits: Whether predictions are logits.
        average: How several classes become one number; see `AnyLoss`.
        ignore_class: A label whose samples do not count.
        epsilon: Of no effect here; kept so that all losses of the family take the same settings.
        reduction: Of effect only with `average=None`.
        name: Name of the loss.
        dtype: Dtype of the result.

    Input shape:
        `y_true` and `y_pred`: `(batch,)`, `(batch, 1)` or `(batch, classes)`; see `AnyLoss`.

    Output shape:
        `()`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import BalancedAccuracyLoss
        >>> p = np.array([0.9, 0.2, 0.6, 0.4, 0.55, 0.05])
        >>> y = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
        >>> round(float(BalancedAccuracyLoss()(y, p)), 4)
        0.2831

    References:
        Han, Moniz and Chawla, "AnyLoss: Transforming Classification Metrics into Loss Functions",
        arXiv:2405.14745.
    """

    def __init__(
        self,
        amplifying_scale: float = 10.0,
        from_logits: bool = False,
        average: str | None = "macro",
        ignore_class: int | None = None,
        epsilon: float = 1e-7,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "balanced_accuracy_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            amplifying_scale=amplifying_scale,
            from_logits=from_logits,
            average=average,
            ignore_class=ignore_class,
            epsilon=epsilon,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )

    def metric(self, tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
        """The balanced accuracy."""
        positive, negative = tp + fn, tn + fp
        rates = ratio(tp, positive) + ratio(tn, negative)
        present = [ops.cast(ops.greater(side, 0), rates.dtype) for side in (positive, negative)]
        return ratio(rates, present[0] + present[1])
