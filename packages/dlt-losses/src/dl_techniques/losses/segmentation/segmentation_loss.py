"""Base of losses over the pixels of label maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from keras import ops

from dl_techniques.core import Tensor
from dl_techniques.losses.arguments import is_number
from dl_techniques.losses.batch_loss import BatchLoss
from dl_techniques.losses.masks import mask_of
from dl_techniques.losses.ratio import ratio
from dl_techniques.losses.segmentation.terms import over_classes
from dl_techniques.losses.targets import align


class Pixels(NamedTuple):
    """Pixels of each sample in one axis."""

    y: Tensor
    """1 where the class is present; `(samples, pixels, classes)`."""
    scores: Tensor
    """Predictions, `(samples, pixels, classes)`."""
    weight: Tensor
    """Weight of each pixel, `(samples, pixels, 1)`."""
    sample_weight: Tensor
    """Weight of each sample, `(samples,)`; zero for one without a pixel that counts."""


class SegmentationLoss(BatchLoss):
    """Base of losses over the pixels of label maps.

    A subclass implements `sample_losses`. With `per_sample=False` the batch is one large sample.

    Args:
        from_logits: Whether predictions are logits. Their softmax over the classes is taken, or
            the sigmoid of each, for one class or with `multilabel=True`.
        multilabel: Whether a pixel may be of several classes.
        include_background: Whether class 0 counts.
        class_weights: One number for each class that counts, or `None` for equal weights.
        ignore_class: A label whose pixels do not count.
        per_sample: Whether sums run over the pixels of each sample (`True`), followed by a mean
            over samples, or over the pixels of the whole batch.
        reduction: How the values of samples are reduced; a mean divides by the sum of weights.
        name: Name of the loss; by default its class in snake case.
        dtype: Dtype of the result; the computation is in float32 at least.
    """

    default_name: ClassVar[str] = "segmentation_loss"

    def __init__(
        self,
        from_logits: bool = False,
        multilabel: bool = False,
        include_background: bool = True,
        class_weights: Sequence[float] | None = None,
        ignore_class: int | None = None,
        per_sample: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name or self.default_name, dtype=dtype)
        if class_weights is not None:
            numbers = isinstance(class_weights, list | tuple) and class_weights
            if not numbers or not all(is_number(c) and c >= 0 for c in class_weights):
                raise ValueError(
                    "`class_weights` must be None or numbers of at least zero, one for each "
                    f"class. Received: class_weights={class_weights!r}"
                )
        if ignore_class is not None and not isinstance(ignore_class, int):
            raise ValueError(
                "`ignore_class` must be None or an integer. "
                f"Received: ignore_class={ignore_class!r}"
            )
        self.from_logits = from_logits
        self.multilabel = multilabel
        self.include_background = include_background
        self.class_weights = class_weights
        self.ignore_class = ignore_class
        self.per_sample = per_sample

    def sample_losses(self, y: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of each sample, `(samples,)`.

        Args:
            y: `(samples, pixels, classes)`, 1 where the class is present.
            scores: Predictions of the same shape.
            weight: `(samples, pixels, 1)`.
        """
        raise NotImplementedError

    def prepare(self, y: Tensor, scores: Tensor) -> Tensor:
        """Return what `sample_losses` needs as `y`, from labels that still have their axes.

        Args:
            y: `(batch, ..., classes)`.
            scores: Predictions of the same shape.
        """
        del scores
        return y

    def rows(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and the weight of each sample, or of the batch.

        Args:
            y_true: Label maps.
            y_pred: Predictions.
            sample_weight: Weights of samples or pixels.
        """
        pixels = self._pixels(y_true, y_pred, sample_weight)
        values = self.sample_losses(pixels.y, pixels.scores, pixels.weight)
        return values, pixels.sample_weight

    def _pixels(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Pixels:
        by_sample, by_pixel = _split_weights(sample_weight, self.wide_dtype)
        y, scores, weight = align(
            y_true, y_pred, by_pixel, dtype=self.wide_dtype, ignore_class=self.ignore_class
        )
        if weight.shape[-1] != 1:
            raise ValueError(
                "`sample_weight` must hold one weight for each sample or pixel. "
                f"Received: y_pred of shape {tuple(scores.shape)}, and a weight for each class"
            )
        weight = weight * ops.ones_like(scores[..., :1])
        hides = by_pixel is not None or self.ignore_class is not None
        if hides or mask_of(y_pred) is not None:
            # A value of weight zero must not count even if it is NaN.
            scores = ops.where(ops.equal(weight, 0), ops.zeros_like(scores), scores)
        y = self.prepare(y, scores)
        y, scores, weight = (flatten_pixels(t) for t in (y, scores, weight))
        if by_sample is None:
            by_sample = ops.ones_like(weight[:, 0, 0])
        if not self.per_sample:
            weight = weight * by_sample[:, None, None]
            y, scores, weight = (ops.reshape(t, (1, -1, t.shape[-1])) for t in (y, scores, weight))
            by_sample = ops.ones_like(weight[:, 0, 0])
        present = ops.any(ops.greater(weight, 0), axis=(1, 2))
        return Pixels(y, scores, weight, by_sample * ops.cast(present, by_sample.dtype))

    # Parts of formulas

    def is_softmax(self, classes: int) -> bool:
        """Return whether the classes exclude each other.

        Args:
            classes: Their number.
        """
        return classes > 1 and not self.multilabel

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return probabilities.

        Args:
            scores: Predictions as given, `(samples, ..., classes)`.
        """
        if not self.from_logits:
            return scores
        exclusive = self.is_softmax(scores.shape[-1])
        return over_classes(ops.softmax, scores) if exclusive else ops.sigmoid(scores)

    def foreground(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return tensors without the column of class 0, if it does not count.

        Args:
            *tensors: `(..., classes)`.
        """
        if self.include_background:
            return tensors
        if tensors[0].shape[-1] < 2:
            raise ValueError(
                "`include_background` must be True for predictions of one class. Received: "
                f"include_background=False, predictions of shape {tuple(tensors[0].shape)}"
            )
        return tuple(tensor[..., 1:] for tensor in tensors)

    def class_mean(self, values: Tensor) -> Tensor:
        """Return the weighted mean over classes.

        Args:
            values: `(..., classes)`.
        """
        if self.class_weights is None:
            return ops.mean(values, axis=-1)
        weights = self._class_weights(values)
        return ratio(ops.sum(weights * values, axis=-1), ops.sum(weights))

    def _class_weights(self, values: Tensor) -> Tensor:
        weights = self.class_weights or ()
        if len(weights) != values.shape[-1]:
            raise ValueError(
                f"`class_weights` must hold {values.shape[-1]} numbers, one for each class that "
                f"counts. Received: class_weights={self.class_weights!r}"
            )
        return ops.convert_to_tensor(weights, dtype=values.dtype)


def pixel_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean over pixels, `(samples, classes)`.

    Args:
        values: `(samples, pixels, classes)`.
        weight: `(samples, pixels, 1)`.
    """
    return ratio(ops.sum(weight * values, axis=1), ops.sum(weight, axis=1))


def flatten_pixels(tensor: Tensor) -> Tensor:
    """Return a tensor `(batch, ..., classes)` as `(batch, pixels, classes)`.

    Args:
        tensor: At least `(batch, classes)`.
    """
    classes, inner = tensor.shape[-1], tensor.shape[1:-1]
    if None in inner:
        return ops.reshape(tensor, (ops.shape(tensor)[0], -1, classes))
    pixels = 1
    for side in inner:
        pixels *= side
    return ops.reshape(tensor, (-1, pixels, classes))


def _split_weights(sample_weight: Tensor | None, dtype: str) -> tuple[Tensor | None, Tensor | None]:
    """Return weights of samples `(batch,)`, or weights of pixels."""
    if sample_weight is None:
        return None, None
    weight = ops.cast(ops.convert_to_tensor(sample_weight), dtype)
    if all(side == 1 for side in weight.shape[1:]):
        return ops.reshape(weight, (-1,)), None
    return None, weight
