"""Focal Tversky loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import Rejection, Tensor, component
from dl_techniques.losses.arguments import require_positive
from dl_techniques.losses.segmentation.terms import power
from dl_techniques.losses.segmentation.tversky_loss import TverskyLoss


@component(
    "dl_techniques>FocalTverskyLoss",
    kind="loss",
    tags=("segmentation", "imbalance"),
    paper="arXiv:1810.07842",
    since="0.1",
)
class FocalTverskyLoss(TverskyLoss):
    """Focal Tversky loss: a power of the Tversky loss that weighs hard samples and classes.

    loss = (1 - T)^gamma, with T of `TverskyLoss`, for each sample and class

    The paper writes the exponent as 1 / gamma with gamma = 4/3: the default here, 0.75, is the
    same. Below one it gives large gradients to what is nearly right; above one to what is wrong.

    Args:
        alpha: Weight of false positives; 0.3 if neither it nor `fp_weight` is given.
        beta: Weight of false negatives; 0.7 if neither it nor `fn_weight` is given.
        gamma: The exponent; above zero.
        **kwargs: Settings of `TverskyLoss` (`smooth`, `fp_weight`, `fn_weight`, `from_logits`,
            `multilabel`, `include_background`, `class_weights`, `ignore_class`, `per_sample`,
            `reduction`, `name`, `dtype`).

    Input shape:
        `y_pred`: `(batch, ..., classes)`, any number of axes of positions, channels last.
        `y_true`: the same shape with 0 and 1 (or between), or class numbers `(batch, ...)` or
        `(batch, ..., 1)`.
        `sample_weight`: `(batch,)` weighs samples; one weight a pixel, `(batch, ...)`, weighs
        pixels inside the sums. Weight 0 and a mask of `y_pred` leave out, weight 2 counts twice.

    Output shape:
        `()`; `(batch,)` with `per_sample=True` and `reduction=None`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import FocalTverskyLoss
        >>> y = np.array([[[1.0], [1.0], [0.0], [0.0]]])
        >>> p = np.array([[[0.9], [0.6], [0.4], [0.1]]])
        >>> round(float(FocalTverskyLoss()(y, p)), 4)
        0.3536

    References:
        Abraham and Khan, "A Novel Focal Tversky Loss Function with Improved Attention U-Net for
        Lesion Segmentation", arXiv:1810.07842.
    """

    default_name = "focal_tversky_loss"

    def __init__(
        self,
        alpha: float | None = None,
        beta: float | None = None,
        gamma: float = 0.75,
        **kwargs: Any,
    ) -> None:
        super().__init__(alpha, beta, **kwargs)
        require_positive(gamma=gamma)
        self.gamma = gamma

    def class_losses(self, y: Tensor, p: Tensor, weight: Tensor) -> Tensor:
        """Return (1 - T)^gamma of each sample and class.

        Args:
            y: Labels.
            p: Probabilities.
            weight: Weights of pixels.
        """
        return power(super().class_losses(y, p, weight), self.gamma)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Settings out of range."""
        yield from super().rejections()
        yield Rejection(cls, {"gamma": 0.0}, "gamma")
