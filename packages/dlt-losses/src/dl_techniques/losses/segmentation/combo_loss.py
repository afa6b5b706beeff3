"""Combo loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_fractions, require_nonnegative
from dl_techniques.losses.segmentation.segmentation_loss import SegmentationLoss, pixel_mean
from dl_techniques.losses.segmentation.terms import dice_losses, log_sides


@component(
    "dl_techniques>ComboLoss",
    kind="loss",
    tags=("segmentation", "imbalance"),
    paper="arXiv:1805.02798",
    since="0.1",
)
class ComboLoss(SegmentationLoss):
    """Combo loss: weighted cross-entropy and Dice loss in one convex sum.

    loss = alpha wBCE + (1 - alpha) (1 - Dice),
    wBCE = -mean_i (beta y_i log p_i + (1 - beta) (1 - y_i) log(1 - p_i))

    beta > 0.5 punishes false negatives more. The paper subtracts Dice instead, which differs by
    the constant 1 - alpha. Each class counts as one against the rest.

    Args:
        alpha: Weight of the cross-entropy, from 0 to 1.
        beta: Weight of the positive side in it, from 0 to 1.
        smooth: s of `DiceLoss`.
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
        >>> from dl_techniques.losses import ComboLoss
        >>> y = np.array([[[1.0], [1.0], [0.0], [0.0]]])
        >>> p = np.array([[[0.9], [0.6], [0.4], [0.1]]])
        >>> round(float(ComboLoss()(y, p)), 4)
        0.202

    References:
        Taghanaki et al., "Combo Loss: Handling Input and Output Imbalance in Multi-Organ
        Segmentation", arXiv:1805.02798.
    """

    default_name = "combo_loss"

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        smooth: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_fractions(alpha=alpha, beta=beta)
        require_nonnegative(smooth=smooth)
        self.alpha = alpha
        self.beta = beta
        self.smooth = smooth

    def sample_losses(self, y: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return each sample's loss.

        Args:
            y: Labels.
            scores: Predictions.
            weight: Weights of pixels.
        """
        p = self.probabilities(scores)
        sigmoid = self.from_logits and not self.is_softmax(scores.shape[-1])
        log_p, log_q = log_sides(scores, True) if sigmoid else log_sides(p, False)
        y, p, log_p, log_q = self.foreground(y, p, log_p, log_q)
        entropy = -(self.beta * y * log_p + (1.0 - self.beta) * (1.0 - y) * log_q)
        dice = dice_losses(y, p, weight, self.smooth, squared=False)
        return self.class_mean(self.alpha * pixel_mean(entropy, weight) + (1.0 - self.alpha) * dice)

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
        yield Rejection(cls, {"alpha": 2.0}, "alpha")
        yield Rejection(cls, {"beta": -0.1}, "beta")
        yield Rejection(cls, {"smooth": -1.0}, "smooth")
        yield Rejection(cls, {"class_weights": [-1.0]}, "class_weights")
