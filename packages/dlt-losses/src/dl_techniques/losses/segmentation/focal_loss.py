"""Focal loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_fractions, require_nonnegative
from dl_techniques.losses.segmentation.segmentation_loss import SegmentationLoss, pixel_mean
from dl_techniques.losses.segmentation.terms import sigmoid_focal, softmax_focal


@component(
    "dl_techniques>FocalLoss",
    kind="loss",
    tags=("segmentation", "classification", "imbalance"),
    paper="arXiv:1708.02002",
    since="0.1",
)
class FocalLoss(SegmentationLoss):
    """Focal loss: cross-entropy in which easy pixels or samples count little.

    one class or `multilabel`: loss = -a_t (1 - p_t)^gamma log p_t, with p_t = p and a_t = alpha
    where y = 1, p_t = 1 - p and a_t = 1 - alpha where y = 0; mean over pixels and classes

    several classes: loss = -c_y (1 - p_y)^gamma log p_y of the true class y, with its number c_y
    of `class_weights`; mean over pixels

    From logits it stays exact however large they are (Keras's focal losses clip probabilities, and
    lose the gradient of confidently wrong ones). It is a loss of classifiers, too: without axes of
    positions a sample is its only pixel.

    Args:
        gamma: The focusing exponent; 0 is cross-entropy.
        alpha: Weight of the positive side, from 0 to 1, or `None`. Without effect on several
            exclusive classes.
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
        >>> from dl_techniques.losses import FocalLoss
        >>> y = np.array([[[1.0], [1.0], [0.0], [0.0]]])
        >>> p = np.array([[[0.9], [0.6], [0.4], [0.1]]])
        >>> round(float(FocalLoss()(y, p)), 4)
        0.0207

    References:
        Lin et al., "Focal Loss for Dense Object Detection", arXiv:1708.02002.
    """

    default_name = "focal_loss"

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | None = 0.25,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_nonnegative(gamma=gamma)
        if alpha is not None:
            require_fractions(alpha=alpha)
        self.gamma = gamma
        self.alpha = alpha

    def sample_losses(self, y: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return the mean over pixels of each sample.

        Args:
            y: Labels.
            scores: Predictions.
            weight: Weights of pixels.
        """
        if not self.is_softmax(scores.shape[-1]):
            y, scores = self.foreground(y, scores)
            values = sigmoid_focal(y, scores, self.gamma, self.alpha, self.from_logits)
            return self.class_mean(pixel_mean(values, weight))
        (values,) = self.foreground(softmax_focal(y, scores, self.gamma, self.from_logits))
        by_class = pixel_mean(values, weight)
        if self.class_weights is not None:
            by_class = by_class * self._class_weights(by_class)
        return ops.sum(by_class, axis=-1)

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
        yield Rejection(cls, {"alpha": 2.0}, "alpha")
        yield Rejection(cls, {"class_weights": [-1.0]}, "class_weights")
