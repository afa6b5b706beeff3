"""Boundary loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from keras import ops

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.segmentation.distances import by_class, signed_distances
from dl_techniques.losses.segmentation.segmentation_loss import SegmentationLoss, pixel_mean


@component(
    "dl_techniques>BoundaryLoss",
    kind="loss",
    tags=("segmentation", "imbalance", "boundary"),
    paper="arXiv:1812.07032",
    since="0.1",
)
class BoundaryLoss(SegmentationLoss):
    """Boundary loss: predictions weighted by their distance to the border of the label.

    loss = mean_i phi_i p_i, with phi the distance of pixel i to the region of the label: above zero
    outside, zero on the first pixels inside, below zero further inside

    phi is zero everywhere where a class has no pixel, or every pixel. The loss has no minimum of
    its own; the paper adds it to a Dice loss, with a weight that rises from 0.01. A weight that
    changes in training must be a weight of the model: one in a loss is frozen on JAX.

    Args:
        precomputed: Whether `y_true` holds phi itself, of the shape of `y_pred` (see
            `signed_distance_map`), instead of labels. From labels phi is computed in each step,
            which needs images `(batch, height, width, classes)` and O(height width (height +
            width)) operations each.
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
        >>> from dl_techniques.losses import BoundaryLoss
        >>> y = np.zeros((1, 1, 4, 1))
        >>> y[..., :2, :] = 1
        >>> p = np.array([0.9, 0.6, 0.4, 0.1]).reshape(1, 1, 4, 1)
        >>> round(float(BoundaryLoss()(y, p)), 4)  # phi is -1, 0, 1, 2
        -0.075

    References:
        Kervadec et al., "Boundary loss for highly unbalanced segmentation", arXiv:1812.07032.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "masked_evaluation": "hidden pixels are background to the distances of the others"
    }

    default_name = "boundary_loss"

    def __init__(
        self,
        precomputed: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.precomputed = precomputed

    def prepare(self, y: Tensor, scores: Tensor) -> Tensor:
        """Return the signed distances.

        Args:
            y: Labels or distances.
            scores: Predictions.
        """
        del scores
        return y if self.precomputed else ops.stop_gradient(by_class(signed_distances, y))

    def sample_losses(self, y: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return the mean over pixels and classes of each sample.

        Args:
            y: Signed distances.
            scores: Predictions.
            weight: Weights of pixels.
        """
        phi, p = self.foreground(y, self.probabilities(scores))
        return self.class_mean(pixel_mean(phi * p, weight))

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
        yield Rejection(cls, {"class_weights": [-1.0]}, "class_weights")
