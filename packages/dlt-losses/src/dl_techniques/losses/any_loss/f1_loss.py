"""One minus the F1 score."""

from __future__ import annotations

from dl_techniques.core import Tensor, component
from dl_techniques.losses.any_loss.fixed_metric_loss import FixedMetricLoss
from dl_techniques.losses.ratio import ratio


@component(
    "dl_techniques>F1Loss",
    kind="loss",
    tags=("any-loss", "classification", "imbalance"),
    paper="arXiv:2405.14745",
    since="0.1",
)
class F1Loss(FixedMetricLoss):
    """F1 loss: one minus the harmonic mean of precision and recall.

    F1 = 2 TP / (2 TP + FP + FN), loss = 1 - F1, on the soft confusion matrix of `AnyLoss`.

    With S = sum_i y_i + sum_i A_i its gradient is dL/dp_i = -(2 y_i / S - 2 TP / S^2) A'(p_i). It
    is the Dice loss of A(p) over the whole batch.

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
        >>> from dl_techniques.losses import F1Loss
        >>> p = np.array([0.9, 0.2, 0.6, 0.4, 0.55, 0.05])
        >>> y = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
        >>> round(float(F1Loss()(y, p)), 4)
        0.3

    References:
        Han, Moniz and Chawla, "AnyLoss: Transforming Classification Metrics into Loss Functions",
        arXiv:2405.14745.
    """

    default_name = "f1_loss"

    def metric(self, tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
        """The F1 score."""
        del tn
        return ratio(2.0 * tp, 2.0 * tp + fp + fn)
