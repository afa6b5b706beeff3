"""Generalized Dice loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_nonnegative
from dl_techniques.losses.ratio import ratio
from dl_techniques.losses.segmentation.segmentation_loss import SegmentationLoss


@component(
    "dl_techniques>GeneralizedDiceLoss",
    kind="loss",
    tags=("segmentation", "imbalance"),
    paper="arXiv:1707.03237",
    since="0.1",
)
class GeneralizedDiceLoss(SegmentationLoss):
    """Generalized Dice loss: one Dice coefficient of all classes, rare ones as heavy as frequent.

    GD = (2 sum_k v_k sum_i w_i p_ik y_ik + s) / (sum_k v_k sum_i w_i (p_ik + y_ik) + s),
    v_k = 1 / (sum_i w_i y_ik)^2, loss = 1 - GD

    A class that is absent from a sample gets the largest weight of the present ones.

    Args:
        smooth: s; not negative.
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
        >>> from dl_techniques.losses import GeneralizedDiceLoss
        >>> y = np.array([[[1.0], [1.0], [0.0], [0.0]]])
        >>> p = np.array([[[0.9], [0.6], [0.4], [0.1]]])
        >>> round(float(GeneralizedDiceLoss()(y, p)), 4)
        0.25

    References:
        Sudre et al., "Generalised Dice Overlap as a Deep Learning Loss Function for Highly
        Unbalanced Segmentations", arXiv:1707.03237.
    """

    default_name = "generalized_dice_loss"

    def __init__(
        self,
        smooth: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_nonnegative(smooth=smooth)
        self.smooth = smooth

    def sample_losses(self, y: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return each sample's loss.

        Args:
            y: Labels.
            scores: Predictions.
            weight: Weights of pixels.
        """
        y, p = self.foreground(y, self.probabilities(scores))
        true = ops.sum(weight * y, axis=1)
        by_class = ratio(ops.ones_like(true), true * true)
        largest = ops.max(by_class, axis=1, keepdims=True)
        by_class = ops.where(ops.equal(true, 0), largest, by_class)
        if self.class_weights is not None:
            by_class = by_class * self._class_weights(by_class)
        overlap = ops.sum(by_class * ops.sum(weight * p * y, axis=1), axis=-1)
        sizes = ops.sum(by_class * ops.sum(weight * (p + y), axis=1), axis=-1)
        return 1.0 - (2.0 * overlap + self.smooth) / (sizes + self.smooth)

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
        yield Rejection(cls, {"class_weights": [-1.0]}, "class_weights")
