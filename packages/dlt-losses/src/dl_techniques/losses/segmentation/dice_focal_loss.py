"""Dice and focal loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_nonnegative
from dl_techniques.losses.segmentation.dice_loss import DiceLoss
from dl_techniques.losses.segmentation.focal_loss import FocalLoss
from dl_techniques.losses.segmentation.segmentation_loss import SegmentationLoss


@component(
    "dl_techniques>DiceFocalLoss",
    kind="loss",
    tags=("segmentation", "imbalance"),
    paper="arXiv:1808.05238",
    since="0.1",
)
class DiceFocalLoss(SegmentationLoss):
    """Dice and focal loss: overlap of regions and attention to hard pixels in one sum.

    loss = dice_weight DiceLoss + focal_weight FocalLoss, both with the same settings

    Args:
        gamma: The focusing exponent of `FocalLoss`.
        alpha: Weight of the positive side in `FocalLoss`, or `None`.
        dice_weight: Weight of the Dice loss; not negative.
        focal_weight: Weight of the focal loss; not negative.
        smooth: s of `DiceLoss`.
        squared: Whether the denominator of `DiceLoss` has squares.
        **kwargs: Settings of `SegmentationLoss` (`from_logits`, `multilabel`,
            `include_background`, `class_weights`, `ignore_class`, `per_sample`, `reduction`,
            `name`, `dtype`).

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
        >>> from dl_techniques.losses import DiceFocalLoss
        >>> y = np.array([[[1.0], [1.0], [0.0], [0.0]]])
        >>> p = np.array([[[0.9], [0.6], [0.4], [0.1]]])
        >>> round(float(DiceFocalLoss()(y, p)), 4)
        0.2914

    References:
        Zhu et al., "AnatomyNet: Deep Learning for Fast and Fully Automated Whole-volume
        Segmentation of Head and Neck Anatomy", arXiv:1808.05238.
    """

    default_name = "dice_focal_loss"

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | None = None,
        dice_weight: float = 1.0,
        focal_weight: float = 1.0,
        smooth: float = 1e-5,
        squared: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_nonnegative(dice_weight=dice_weight, focal_weight=focal_weight)
        self.dice_weight = dice_weight
        self.focal_weight = focal_weight
        self.dice_part = DiceLoss(smooth=smooth, squared=squared, **kwargs)
        self.focal_part = FocalLoss(gamma=gamma, alpha=alpha, **kwargs)
        self.smooth = smooth
        self.squared = squared
        self.gamma = gamma
        self.alpha = alpha

    def sample_losses(self, y: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return the sum of the two parts for each sample.

        Args:
            y: Labels.
            scores: Predictions.
            weight: Weights of pixels.
        """
        focal = self.focal_part.sample_losses(y, scores, weight)
        dice = self.dice_part.sample_losses(y, scores, weight)
        return self.dice_weight * dice + self.focal_weight * focal

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Probabilities of one class, and logits of several with class numbers."""
        one = (
            TensorSpec((3, 4, 5, 1), values="binary"),
            TensorSpec((3, 4, 5, 1), low=0.05, high=0.95),
        )
        yield Example(cls, {}, one, name="binary")
        several = (TensorSpec((3, 4, 5), dtype="int32", low=0, high=3), TensorSpec((3, 4, 5, 3)))
        config = {"from_logits": True, "include_background": False, "per_sample": False}
        yield Example(cls, config, several, name="logits")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Settings out of range."""
        yield Rejection(cls, {"gamma": -1.0}, "gamma")
        yield Rejection(cls, {"dice_weight": -1.0}, "dice_weight")
        yield Rejection(cls, {"class_weights": [-1.0]}, "class_weights")
