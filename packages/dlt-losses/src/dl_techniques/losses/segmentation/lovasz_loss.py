"""Lovász loss."""

from __future__ import annotations

from collections.abc import Iterator

from keras import ops

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.ratio import ratio
from dl_techniques.losses.segmentation.segmentation_loss import SegmentationLoss


@component(
    "dl_techniques>LovaszLoss",
    kind="loss",
    tags=("segmentation", "imbalance"),
    paper="arXiv:1705.08790",
    since="0.1",
)
class LovaszLoss(SegmentationLoss):
    """Lovász loss: the convex extension of the Jaccard loss, by sorted errors.

    loss = sum_i m_(i) (J_(i) - J_(i-1)), with the errors m sorted from the largest down, and
    J_(i) the Jaccard loss of a prediction that errs on the first i pixels

    For one class or `multilabel` the errors are hinges of logits, m = max(0, 1 - (2 y - 1) z), and
    predictions must be logits; for exclusive classes m = |y - p| with probabilities, and only
    classes that are present in a sample count.

    Args:
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
        >>> from dl_techniques.losses import LovaszLoss
        >>> y = np.array([[[1.0], [1.0], [0.0], [0.0]]])
        >>> z = np.array([[[2.0], [0.5], [-0.5], [-2.0]]])
        >>> round(float(LovaszLoss(from_logits=True)(y, z)), 4)
        0.3333

    References:
        Berman et al., "The Lovász-Softmax loss: A tractable surrogate for the optimization of the
        intersection-over-union measure in neural networks", arXiv:1705.08790.
    """

    default_name = "lovasz_loss"

    def sample_losses(self, y: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return the mean over classes of each sample's loss.

        Args:
            y: Labels.
            scores: Predictions.
            weight: Weights of pixels.
        """
        if not self.is_softmax(scores.shape[-1]):
            if not self.from_logits:
                raise ValueError(
                    "`from_logits` must be True for one class or `multilabel=True`, because the "
                    "hinge is one of logits. Received: from_logits=False"
                )
            y, z = self.foreground(y, scores)
            errors = ops.relu(1.0 - (2.0 * y - 1.0) * z)
            return self.class_mean(_extension(errors, y, weight))
        y, p = self.foreground(y, self.probabilities(scores))
        losses = _extension(ops.abs(y - p), y, weight)
        counts = ops.cast(ops.greater(ops.sum(weight * y, axis=1), 0), losses.dtype)
        if self.class_weights is not None:
            counts = counts * self._class_weights(losses)
        return ratio(ops.sum(counts * losses, axis=-1), ops.sum(counts, axis=-1))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Probabilities of several classes with class numbers; logits of one class."""
        several = (
            TensorSpec((3, 4, 5), dtype="int32", low=0, high=3),
            TensorSpec((3, 4, 5, 3), values="probabilities"),
        )
        yield Example(cls, {}, several)
        one = (TensorSpec((3, 4, 5, 1), values="binary"), TensorSpec((3, 4, 5, 1)))
        yield Example(cls, {"from_logits": True, "per_sample": False}, one, name="binary")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Settings out of range."""
        yield Rejection(cls, {"class_weights": [-1.0]}, "class_weights")


def _extension(errors: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Return the extension at the errors, for each sample and class.

    Pixels of weight w count as w pixels: the steps of equal errors add up.

    Args:
        errors: At least zero, `(samples, pixels, classes)`.
        y: Labels.
        weight: Weights of pixels.
    """
    weight = weight * ops.ones_like(y)
    errors = ops.where(ops.equal(weight, 0), ops.zeros_like(errors), errors)
    order = ops.argsort(-errors, axis=1)
    errors, y, weight = (ops.take_along_axis(t, order, axis=1) for t in (errors, y, weight))
    true = ops.sum(weight * y, axis=1, keepdims=True)
    overlap = true - ops.cumsum(weight * y, axis=1)
    union = true + ops.cumsum(weight * (1.0 - y), axis=1)
    jaccard = 1.0 - ratio(overlap, union)
    # Before the first pixel that counts there is no loss, also where nothing is true.
    jaccard = ops.where(ops.equal(union, 0), ops.zeros_like(jaccard), jaccard)
    steps = ops.concatenate([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], axis=1)
    return ops.sum(errors * ops.stop_gradient(steps), axis=1)
