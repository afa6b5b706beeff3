"""Base of metrics of the overlap of label maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from keras import ops

from dl_techniques.core import Count, Example, Metric, Rejection, Tensor, TensorSpec
from dl_techniques.losses.arguments import require_fractions, require_one_of
from dl_techniques.losses.ratio import ratio
from dl_techniques.losses.targets import align_rows

_AVERAGES = ("macro", "micro")


class OverlapMetric(Metric):
    """Base of metrics of the overlap of label maps, summed over all pixels of all batches.

    A subclass implements `score`.

    Args:
        num_classes: Number of columns of the predictions.
        multilabel: Whether a pixel may be of several classes.
        threshold: For one class or `multilabel`, the probability above which it is predicted (for
            logits pass 0.0 and leave the sigmoid out).
        include_background: Whether class 0 counts.
        ignore_class: A label whose pixels do not count.
        average: `"macro"`: the mean over classes that are present or predicted; `"micro"`: of the
            sums over classes.
        name: Name of the metric; by default `default_name`.
        dtype: Dtype of its state.
    """

    default_name: ClassVar[str]

    def __init__(
        self,
        num_classes: Count,
        multilabel: bool = False,
        threshold: float = 0.5,
        include_background: bool = True,
        ignore_class: int | None = None,
        average: str = "macro",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name or self.default_name, dtype=dtype)
        require_fractions(threshold=threshold)
        require_one_of(_AVERAGES, average=average)
        if not include_background and num_classes == 1:
            raise ValueError(
                "`include_background` must be True for one class. "
                "Received: include_background=False, num_classes=1"
            )
        self.num_classes = num_classes
        self.multilabel = multilabel
        self.threshold = threshold
        self.include_background = include_background
        self.ignore_class = ignore_class
        self.average = average
        self.overlap, self.predicted, self.true = (
            self.add_variable(shape=(num_classes,), initializer="zeros", name=name)
            for name in ("overlap", "predicted", "true")
        )

    def score(self, overlap: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
        """Return the score from sums of pixels.

        Args:
            overlap: Pixels both predicted and true.
            predicted: Predicted pixels.
            true: True pixels.
        """
        raise NotImplementedError

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Add a batch.

        Args:
            y_true: Label maps.
            y_pred: Predictions.
            sample_weight: Weights of samples or pixels.
        """
        y, p, weight = align_rows(
            y_true, y_pred, sample_weight, dtype=self.dtype, ignore_class=self.ignore_class
        )
        if p.shape[-1] != self.num_classes:
            raise ValueError(
                f"`y_pred` must have {self.num_classes} columns, as `num_classes` says. "
                f"Received: y_pred of shape {tuple(y_pred.shape)}"
            )
        if self.num_classes > 1 and not self.multilabel:
            decided = ops.one_hot(ops.argmax(p, axis=-1), self.num_classes, dtype=self.dtype)
        else:
            decided = ops.cast(ops.greater(p, self.threshold), self.dtype)
        w = weight[:, None]
        self.overlap.assign_add(ops.sum(w * decided * y, axis=0))
        self.predicted.assign_add(ops.sum(w * decided, axis=0))
        self.true.assign_add(ops.sum(w * y, axis=0))

    def per_class(self) -> Tensor:
        """Return the score of each class, `(num_classes,)`; zero for one that never appears."""
        return self.score(*self._sums())

    def result(self) -> Tensor:
        """Return the averaged score; zero before the first pixel."""
        sums = self._sums()
        if not self.include_background:
            sums = tuple(value[1:] for value in sums)
        if self.average == "micro":
            return self.score(*(ops.sum(value) for value in sums))
        appears = ops.cast(ops.greater(sums[1] + sums[2], 0), self.dtype)
        return ratio(ops.sum(appears * self.score(*sums)), ops.sum(appears))

    def _sums(self) -> tuple[Tensor, ...]:
        return tuple(
            ops.convert_to_tensor(value) for value in (self.overlap, self.predicted, self.true)
        )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """One class, and several with class numbers."""
        one = (
            TensorSpec((4, 3, 3, 1), values="binary"),
            TensorSpec((4, 3, 3, 1), low=0.0, high=1.0),
        )
        yield Example(cls, {"num_classes": 1}, one)
        several = (TensorSpec((4, 3, 3), dtype="int32", low=0, high=3), TensorSpec((4, 3, 3, 3)))
        config = {"num_classes": 3, "include_background": False, "average": "micro"}
        yield Example(cls, config, several, name="several")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No class, thresholds beyond one, unknown averages."""
        yield Rejection(cls, {"num_classes": 1, "threshold": 2.0}, "threshold")
        yield Rejection(cls, {"num_classes": 2, "average": "mean"}, "average")
        yield Rejection(cls, {"num_classes": 1, "include_background": False}, "include_background")
