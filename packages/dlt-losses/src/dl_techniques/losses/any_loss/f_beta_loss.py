"""One minus the F-beta score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import Rejection, Tensor, component
from dl_techniques.losses.any_loss.fixed_metric_loss import FixedMetricLoss
from dl_techniques.losses.ratio import ratio


@component(
    "dl_techniques>FBetaLoss",
    kind="loss",
    tags=("any-loss", "classification", "imbalance"),
    paper="arXiv:2405.14745",
    since="0.1",
)
class FBetaLoss(FixedMetricLoss):
    """F-beta loss: one minus the weighted harmonic mean of precision and recall.

    F = (1 + beta^2) TP / ((1 + beta^2) TP + FP + beta^2 FN), loss = 1 - F, on the soft confusion
    matrix of `AnyLoss`.

    It is the Tversky loss of A(p) with weights 1 / (1 + beta^2) for false positives and
    beta^2 / (1 + beta^2) for false negatives. Where a batch holds no positive sample of a class,
    the class gives 1 and no gradient.

    Args:
        beta: How many times as much recall counts as precision.
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
        ValueError: If `beta` or another setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import FBetaLoss
        >>> p = np.array([0.9, 0.2, 0.6, 0.4, 0.55, 0.05])
        >>> y = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
        >>> round(float(FBetaLoss()(y, p)), 4)
        0.3

    References:
        Han, Moniz and Chawla, "AnyLoss: Transforming Classification Metrics into Loss Functions",
        arXiv:2405.14745.
    """

    default_name = "f_beta_loss"

    def __init__(self, beta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(beta, int | float) or not 0 < beta < float("inf"):
            raise ValueError(f"`beta` must be a finite number above zero. Received: beta={beta!r}")
        self.beta = beta

    def metric(self, tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
        """The F-beta score."""
        del tn
        squared = self.beta**2
        return ratio((1 + squared) * tp, (1 + squared) * tp + fp + squared * fn)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Those of `AnyLoss`, and a useless beta."""
        yield from super().rejections()
        if cls is FBetaLoss:
            yield Rejection(cls, {"beta": 0.0}, "beta")
