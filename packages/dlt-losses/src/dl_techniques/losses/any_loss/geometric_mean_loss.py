"""One minus the geometric mean of sensitivity and specificity."""

from __future__ import annotations

from typing import Any

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.losses.any_loss.any_loss import AnyLoss
from dl_techniques.losses.ratio import ratio


@component(
    "dl_techniques>GeometricMeanLoss",
    kind="loss",
    tags=("any-loss", "classification", "imbalance"),
    paper="arXiv:2405.14745",
    since="0.1",
)
class GeometricMeanLoss(AnyLoss):
    """Geometric mean loss: one minus the root of sensitivity times specificity.

    G = sqrt(TP / (TP + FN) * TN / (TN + FP)), loss = 1 - G, on the soft confusion matrix of
    `AnyLoss`. (A later text of the authors leaves the root out; the paper has it.)

    Args:
        amplifying_scale: The steepness L of the approximation; see `AnyLoss`.
        from_logits: Whether predictions are logits.
        average: How several classes become one number; see `AnyLoss`.
        ignore_class: A label whose samples do not count.
        epsilon: Added under the root, so that its gradient is finite at zero.
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
        >>> from dl_techniques.losses import GeometricMeanLoss
        >>> p = np.array([0.9, 0.2, 0.6, 0.4, 0.55, 0.05])
        >>> y = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
        >>> round(float(GeometricMeanLoss()(y, p)), 4)
        0.2853

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
        name: str | None = "geometric_mean_loss",
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
        """The geometric mean."""
        return ops.sqrt(ratio(tp, tp + fn) * ratio(tn, tn + fp) + self.epsilon)
