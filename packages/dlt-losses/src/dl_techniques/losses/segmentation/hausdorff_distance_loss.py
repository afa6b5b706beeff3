"""Hausdorff distance loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from keras import ops

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_positive
from dl_techniques.losses.segmentation.distances import by_class, squared_distances
from dl_techniques.losses.segmentation.segmentation_loss import SegmentationLoss, pixel_mean


@component(
    "dl_techniques>HausdorffDistanceLoss",
    kind="loss",
    tags=("segmentation", "boundary"),
    paper="arXiv:1904.10030",
    since="0.1",
)
class HausdorffDistanceLoss(SegmentationLoss):
    """Hausdorff distance loss: squared errors weighted by distances to both borders.

    loss = mean_i (p_i - y_i)^2 (dt(p > 0.5)_i^alpha + dt(y)_i^alpha), with dt(m) the distance to
    the border of m, from either side, and zero if m is empty or full

    Distances are computed in each step, without gradient, for images
    `(batch, height, width, classes)`: O(height width (height + width)) operations each.

    Args:
        alpha: The exponent of distances; above zero.
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
        >>> from dl_techniques.losses import HausdorffDistanceLoss
        >>> y = np.zeros((1, 1, 4, 1))
        >>> y[..., :2, :] = 1
        >>> p = np.array([0.9, 0.6, 0.4, 0.1]).reshape(1, 1, 4, 1)
        >>> round(float(HausdorffDistanceLoss()(y, p)), 4)
        0.2

    References:
        Karimi and Salcudean, "Reducing the Hausdorff Distance in Medical Image Segmentation with
        Convolutional Neural Networks", arXiv:1904.10030.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "masked_evaluation": "hidden pixels are background to the distances of the others"
    }

    default_name = "hausdorff_distance_loss"

    def __init__(
        self,
        alpha: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_positive(alpha=alpha)
        self.alpha = alpha

    def prepare(self, y: Tensor, scores: Tensor) -> Tensor:
        """Return labels and, in further columns, weights of errors.

        Args:
            y: Labels.
            scores: Predictions.
        """
        p = ops.stop_gradient(self.probabilities(scores))
        decided = ops.cast(ops.greater(p, 0.5), y.dtype)
        field = by_class(self._field, y) + by_class(self._field, decided)
        return ops.concatenate([y, ops.stop_gradient(field)], axis=-1)

    def sample_losses(self, y: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return the mean over pixels and classes of each sample.

        Args:
            y: Labels and weights of errors.
            scores: Predictions.
            weight: Weights of pixels.
        """
        classes = scores.shape[-1]
        y, field = y[..., :classes], y[..., classes:]
        y, field, p = self.foreground(y, field, self.probabilities(scores))
        return self.class_mean(pixel_mean((p - y) ** 2 * field, weight))

    def _field(self, mask: Tensor) -> Tensor:
        # Each pixel is either inside or outside, so that one of the two terms is zero.
        squares = squared_distances(mask) + squared_distances(1.0 - mask)
        return squares if self.alpha == 2 else ops.power(squares, self.alpha / 2)

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
        yield Rejection(cls, {"alpha": 0.0}, "alpha")
        yield Rejection(cls, {"class_weights": [-1.0]}, "class_weights")
