"""Jaccard loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_nonnegative
from dl_techniques.losses.segmentation.segmentation_loss import SegmentationLoss
from dl_techniques.losses.segmentation.terms import tversky_losses


@component(
    "dl_techniques>JaccardLoss",
    kind="loss",
    tags=("segmentation", "imbalance"),
    since="0.1",
)
class JaccardLoss(SegmentationLoss):
    """Jaccard loss: one minus the intersection over union.

    J = (sum_i w_i p_i y_i + s) / (sum_i w_i p_i + sum_i w_i y_i - sum_i w_i p_i y_i + s),
    loss = 1 - J

    The sums are over the pixels of each sample and class; the losses are averaged over classes,
    then over samples.

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
        >>> from dl_techniques.losses import JaccardLoss
        >>> y = np.array([[[1.0], [1.0], [0.0], [0.0]]])
        >>> p = np.array([[[0.9], [0.6], [0.4], [0.1]]])
        >>> round(float(JaccardLoss()(y, p)), 4)
        0.4

    References:
        Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks for Image
        Segmentation", ISVC 2016.
    """

    default_name = "jaccard_loss"

    def __init__(
        self,
        smooth: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_nonnegative(smooth=smooth)
        self.smooth = smooth

    def sample_losses(self, y: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return the mean over classes of each sample's loss.

        Args:
            y: Labels.
            scores: Predictions.
            weight: Weights of pixels.
        """
        y, p = self.foreground(y, self.probabilities(scores))
        return self.class_mean(tversky_losses(y, p, weight, 1.0, 1.0, self.smooth))

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
