"""One minus the accuracy."""

from __future__ import annotations

from dl_techniques.core import Tensor, component
from dl_techniques.losses.any_loss.fixed_metric_loss import FixedMetricLoss
from dl_techniques.losses.ratio import ratio


@component(
    "dl_techniques>AccuracyLoss",
    kind="loss",
    tags=("any-loss", "classification"),
    paper="arXiv:2405.14745",
    since="0.1",
)
class AccuracyLoss(FixedMetricLoss):
    """Accuracy loss: one minus the share of right decisions.

    accuracy = (TP + TN) / (TP + FP + FN + TN), loss = 1 - accuracy, on the soft confusion matrix
    of `AnyLoss`. The denominator is the batch's own weight.

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
        >>> from dl_techniques.losses import AccuracyLoss
        >>> p = np.array([0.9, 0.2, 0.6, 0.4, 0.55, 0.05])
        >>> y = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
        >>> round(float(AccuracyLoss()(y, p)), 4)
        0.2831

    References:
        Han, Moniz and Chawla, "AnyLoss: Transforming Classification Metrics into Loss Functions",
        arXiv:2405.14745.
    """

    default_name = "accuracy_loss"

    def metric(self, tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
        """The accuracy."""
        return ratio(tp + tn, tp + fp + fn + tn)
