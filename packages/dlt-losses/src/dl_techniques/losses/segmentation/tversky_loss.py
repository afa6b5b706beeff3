"""Tversky loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import first_given, require_nonnegative
from dl_techniques.losses.segmentation.segmentation_loss import SegmentationLoss
from dl_techniques.losses.segmentation.terms import tversky_losses


@component(
    "dl_techniques>TverskyLoss",
    kind="loss",
    tags=("segmentation", "imbalance"),
    paper="arXiv:1706.05721",
    since="0.1",
)
class TverskyLoss(SegmentationLoss):
    """Tversky loss: a Dice loss that weighs false positives and false negatives apart.

    T = (TP + s) / (TP + alpha FP + beta FN + s), loss = 1 - T, with the soft sums
    TP = sum_i w_i p_i y_i, FP = sum_i w_i p_i (1 - y_i), FN = sum_i w_i (1 - p_i) y_i

    alpha = beta = 0.5 is Dice, alpha = beta = 1 is Jaccard; beta > alpha favours recall. As in
    the paper, alpha weighs false positives. Others swap the two (`keras.losses.Tversky` up to
    3.15.1, and the paper on the focal Tversky loss): `fp_weight` and `fn_weight` are unmistakable
    names of the same settings.

    Args:
        alpha: Weight of false positives; 0.3 if neither it nor `fp_weight` is given.
        beta: Weight of false negatives; 0.7 if neither it nor `fn_weight` is given.
        smooth: s; not negative.
        fp_weight: Another name of `alpha`.
        fn_weight: Another name of `beta`.
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
        >>> from dl_techniques.losses import TverskyLoss
        >>> y = np.array([[[1.0], [1.0], [0.0], [0.0]]])
        >>> p = np.array([[[0.9], [0.6], [0.4], [0.1]]])
        >>> round(float(TverskyLoss()(y, p)), 4)
        0.25

    References:
        Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional
        deep networks", arXiv:1706.05721.
    """

    default_name = "tversky_loss"

    def __init__(
        self,
        alpha: float | None = None,
        beta: float | None = None,
        smooth: float = 1e-5,
        fp_weight: float | None = None,
        fn_weight: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if alpha is not None and fp_weight is not None:
            raise ValueError(
                "`fp_weight` must be None if `alpha` is given, its other name. "
                f"Received: alpha={alpha!r}, fp_weight={fp_weight!r}"
            )
        if beta is not None and fn_weight is not None:
            raise ValueError(
                "`fn_weight` must be None if `beta` is given, its other name. "
                f"Received: beta={beta!r}, fn_weight={fn_weight!r}"
            )
        self.alpha, self.beta = alpha, beta
        self.fp_weight, self.fn_weight = fp_weight, fn_weight
        self.weights = (first_given(alpha, fp_weight, 0.3), first_given(beta, fn_weight, 0.7))
        require_nonnegative(fp_weight=self.weights[0], fn_weight=self.weights[1], smooth=smooth)
        self.smooth = smooth

    def sample_losses(self, y: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return the mean over classes of each sample's loss.

        Args:
            y: Labels.
            scores: Predictions.
            weight: Weights of pixels.
        """
        y, p = self.foreground(y, self.probabilities(scores))
        return self.class_mean(self.class_losses(y, p, weight))

    def class_losses(self, y: Tensor, p: Tensor, weight: Tensor) -> Tensor:
        """Return 1 - T of each sample and class.

        Args:
            y: Labels.
            p: Probabilities.
            weight: Weights of pixels.
        """
        return tversky_losses(y, p, weight, *self.weights, self.smooth)

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
        yield Rejection(cls, {"alpha": -1.0}, "fp_weight")
        yield Rejection(cls, {"fn_weight": -1.0}, "fn_weight")
        yield Rejection(cls, {"alpha": 0.3, "fp_weight": 0.3}, "fp_weight")
        yield Rejection(cls, {"smooth": -1.0}, "smooth")
        yield Rejection(cls, {"class_weights": [-1.0]}, "class_weights")
