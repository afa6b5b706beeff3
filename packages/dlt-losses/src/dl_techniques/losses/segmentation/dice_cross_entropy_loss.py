"""Dice and cross-entropy loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_nonnegative
from dl_techniques.losses.segmentation.dice_loss import DiceLoss
from dl_techniques.losses.segmentation.focal_loss import FocalLoss
from dl_techniques.losses.segmentation.segmentation_loss import SegmentationLoss


@component(
    "dl_techniques>DiceCrossEntropyLoss",
    kind="loss",
    tags=("segmentation", "imbalance"),
    paper="arXiv:1809.10486",
    since="0.1",
)
class DiceCrossEntropyLoss(SegmentationLoss):
    """Dice and cross-entropy loss: overlap of regions and right pixels in one sum.

    loss = dice_weight DiceLoss + entropy_weight CE, both with the same settings

    CE is the mean over pixels of -c_y log p_y for exclusive classes, and of the binary
    cross-entropy, over classes, too, for one class or `multilabel`.

    Args:
        dice_weight: Weight of the Dice loss; not negative.
        entropy_weight: Weight of the cross-entropy; not negative.
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
        >>> from dl_techniques.losses import DiceCrossEntropyLoss
        >>> y = np.array([[[1.0], [1.0], [0.0], [0.0]]])
        >>> p = np.array([[[0.9], [0.6], [0.4], [0.1]]])
        >>> round(float(DiceCrossEntropyLoss()(y, p)), 4)
        0.5581

    References:
        Isensee et al., "nnU-Net: Self-adapting Framework for U-Net-Based Medical Image
        Segmentation", arXiv:1809.10486.
    """

    default_name = "dice_cross_entropy_loss"

    def __init__(
        self,
        dice_weight: float = 1.0,
        entropy_weight: float = 1.0,
        smooth: float = 1e-5,
        squared: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_nonnegative(dice_weight=dice_weight, entropy_weight=entropy_weight)
        self.dice_weight = dice_weight
        self.entropy_weight = entropy_weight
        self.dice_part = DiceLoss(smooth=smooth, squared=squared, **kwargs)
        self.entropy_part = FocalLoss(gamma=0.0, alpha=None, **kwargs)
        self.smooth = smooth
        self.squared = squared

    def sample_losses(self, y: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return the sum of the two parts for each sample.

        Args:
            y: Labels.
            scores: Predictions.
            weight: Weights of pixels.
        """
        entropy = self.entropy_part.sample_losses(y, scores, weight)
        dice = self.dice_part.sample_losses(y, scores, weight)
        return self.dice_weight * dice + self.entropy_weight * entropy

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
        yield Rejection(cls, {"smooth": -1.0}, "smooth")
        yield Rejection(cls, {"entropy_weight": -1.0}, "entropy_weight")
        yield Rejection(cls, {"class_weights": [-1.0]}, "class_weights")
