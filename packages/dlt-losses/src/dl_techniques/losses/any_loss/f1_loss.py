"""One minus the F1 score."""

from __future__ import annotations

from typing import Any

from dl_techniques.core import component
from dl_techniques.losses.any_loss.f_beta_loss import FBetaLoss


@component(
    "dl_techniques>F1Loss",
    kind="loss",
    tags=("any-loss", "classification", "imbalance"),
    paper="arXiv:2405.14745",
    since="0.1",
)
class F1Loss(FBetaLoss):
    """F1 loss: one minus the harmonic mean of precision and recall.

    F1 = 2 TP / (2 TP + FP + FN), loss = 1 - F1, on the soft confusion matrix of `AnyLoss`.

    With S = sum_i y_i + sum_i A_i its gradient is dL/dp_i = -(2 y_i / S - 2 TP / S^2) A'(p_i). It
    is the Dice loss of A(p) over the whole batch.

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
        >>> from dl_techniques.losses import F1Loss
        >>> p = np.array([0.9, 0.2, 0.6, 0.4, 0.55, 0.05])
        >>> y = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
        >>> round(float(F1Loss()(y, p)), 4)
        0.3

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
        name: str | None = "f1_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            beta=1.0,
            amplifying_scale=amplifying_scale,
            from_logits=from_logits,
            average=average,
            ignore_class=ignore_class,
            epsilon=epsilon,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
