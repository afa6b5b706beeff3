"""One minus the balanced accuracy."""

from __future__ import annotations

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.losses.any_loss.fixed_metric_loss import FixedMetricLoss
from dl_techniques.losses.ratio import ratio


@component(
    "dl_techniques>BalancedAccuracyLoss",
    kind="loss",
    tags=("any-loss", "classification", "imbalance"),
    paper="arXiv:2405.14745",
    since="0.1",
)
class BalancedAccuracyLoss(FixedMetricLoss):
    """Balanced accuracy loss: one minus the mean of sensitivity and specificity.

    B = (TP / (TP + FN) + TN / (TN + FP)) / 2, loss = 1 - B, on the soft confusion matrix of
    `AnyLoss`.

    If a batch holds no positive or no negative sample, B is the other one's rate alone, as in
    scikit-learn. Several classes are averaged one against the rest, which is not scikit-learn's
    mean recall.

    Args:
        **kwargs: Settings of `FixedMetricLoss` (`amplifying_scale`, `from_logits`, `average`,
            `ignore_class`, `epsilon`, `reduction`, `name`, `dtype`).

    Input shape:
        `y_pred`: `(batch,)` or `(batch, 1)` for one class, `(batch, classes)` for several.
        `y_true`: 0 or 1 in the same shape (for several classes one-hot or multi-label), or class
        numbers `(batch,)` or `(batch, 1)` where there are several. See `AnyLoss`.
        `sample_weight`: `(batch,)`; it counts inside the confusion matrix, so weight 2 is the same
        as a sample given twice.

    Output shape:
        `()`, one value of the whole batch; `(classes,)` with `average=None` and `reduction=None`.

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

    default_name = "balanced_accuracy_loss"

    def metric(self, tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
        """The balanced accuracy."""
        positive, negative = tp + fn, tn + fp
        rates = ratio(tp, positive) + ratio(tn, negative)
        present = [ops.cast(ops.greater(side, 0), rates.dtype) for side in (positive, negative)]
        return ratio(rates, present[0] + present[1])
