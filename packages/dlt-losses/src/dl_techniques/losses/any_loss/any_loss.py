"""Any metric of the confusion matrix as a differentiable loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

from keras import ops

from dl_techniques.core import Example, Loss, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.any_loss.approximation_function import approximate, checked_scale
from dl_techniques.losses.any_loss.jaccard import jaccard_index
from dl_techniques.losses.ratio import ratio
from dl_techniques.losses.targets import Targets, align

_AVERAGES = ("macro", "micro", "weighted", None)

Metric = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@component(
    "dl_techniques>AnyLoss",
    kind="loss",
    tags=("any-loss", "classification", "imbalance"),
    paper="arXiv:2405.14745",
    since="0.1",
)
class AnyLoss(Loss):
    """One minus any metric of the confusion matrix, made differentiable.

    A_i = 1 / (1 + exp(-L (p_i - 0.5))), TP = sum_i w_i y_i A_i, FN = sum_i w_i y_i (1 - A_i),
    FP = sum_i w_i (1 - y_i) A_i, TN = sum_i w_i (1 - y_i) (1 - A_i), loss = 1 - metric(TP, ...)

    Several classes are seen as as many one-against-the-rest problems (the paper is about one);
    `average` says how they become one number. The sums are over the batch and computed in
    float32 at least.

    The loss is one of the whole batch: it does not add up over batches, so the `loss` that Keras
    reports for an epoch is a mean of batch values and not the value on the data set. Evaluate the
    real metric separately. Batches should hold several samples of each class.

    Subclass it and override `metric`, or pass a function.

    Args:
        metric_fn: A function of TP, FP, FN and TN, tensors of one shape, whose best value is one.
            To be stored with a model it must be declared with `@component(kind="function")`.
        amplifying_scale: The steepness L. The default trains better than the paper's 73, which
            gives confidently wrong predictions no gradient in float32 (a warning says so above
            33).
        from_logits: Whether predictions are logits, of which the sigmoid is taken first.
        average: `"macro"`: the mean over classes; `"weighted"`: weighted by their numbers of
            positive samples; `"micro"`: of the summed confusion matrices; `None`: one loss for
            each class, which `reduction` then reduces.
        ignore_class: A label whose samples do not count; if it is one of the classes, neither does
            its column.
        epsilon: Small number for metrics with a root in them.
        reduction: As in `keras.losses.Loss`; only of effect with `average=None`, because all else
            is one number already.
        name: Name of the loss.
        dtype: Dtype of the result.

    Input shape:
        `y_pred`: `(batch,)` or `(batch, 1)` for one class, `(batch, classes)` for several, and
        any axes of positions before the last. `y_true` is one of two:

        - numbers from 0 to 1, one for each of `y_pred`. For one class 1 is positive, and the last
          axis of size one may be missing in either. For several there is one column for each
          class: one-hot, or with any number of ones in a row (multi-label), or soft.
        - class numbers, only where there are several classes: the shape of `y_pred` without its
          last axis, or with size one there; whole numbers from 0 on, of any dtype. A number that
          is none of the classes is a sample that belongs to no class.

        `sample_weight`: `(batch,)`, up to the shape of `y_pred`; weight 2 is the same as a sample
        given twice.

    Output shape:
        `()`; `(classes,)` with `average=None` and `reduction=None`.

    Raises:
        TypeError: If there is no metric, or two.
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import AnyLoss
        >>> precision = AnyLoss.from_metric(lambda tp, fp, fn, tn: tp / (tp + fp))
        >>> y, p = np.array([1.0, 0.0, 1.0]), np.array([0.9, 0.2, 0.6])
        >>> round(float(precision(y, p)), 4)
        0.0269

    References:
        Han, Moniz and Chawla, "AnyLoss: Transforming Classification Metrics into Loss Functions",
        arXiv:2405.14745.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": "`metric_fn` must be given, unless a subclass overrides `metric`"
    }

    def __init__(
        self,
        metric_fn: Metric | None = None,
        amplifying_scale: float = 10.0,
        from_logits: bool = False,
        average: str | None = "macro",
        ignore_class: int | None = None,
        epsilon: float = 1e-7,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if (metric_fn is None) == (type(self).metric is AnyLoss.metric):
            raise TypeError(
                "`metric_fn` must be given, or `metric` be overridden by a subclass, but not "
                f"both. Received: metric_fn={metric_fn!r} for {type(self).__name__}"
            )
        if metric_fn is not None and not callable(metric_fn):
            raise TypeError(f"`metric_fn` must be callable. Received: metric_fn={metric_fn!r}")
        if average not in _AVERAGES:
            raise ValueError(f"`average` must be one of {_AVERAGES}. Received: average={average!r}")
        if not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
            raise ValueError(f"`epsilon` must be within (0, 1). Received: epsilon={epsilon!r}")
        if ignore_class is not None and not isinstance(ignore_class, int):
            raise ValueError(
                "`ignore_class` must be None or an integer. "
                f"Received: ignore_class={ignore_class!r}"
            )
        self.metric_fn = metric_fn
        self.amplifying_scale = checked_scale(amplifying_scale, self.dtype)
        self.from_logits = from_logits
        self.average = average
        self.ignore_class = ignore_class
        self.epsilon = epsilon

    @classmethod
    def from_metric(cls, metric_fn: Metric, **settings: Any) -> Self:
        """A loss from a function of the confusion matrix.

        Args:
            metric_fn: A function of TP, FP, FN and TN.
            **settings: Further arguments of the constructor.
        """
        return cls(metric_fn, **settings)

    def metric(self, tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
        """The metric to be maximized; subclasses override it.

        Args:
            tp: True positives, `(classes,)`, or a scalar when averaging is `"micro"`.
            fp: False positives.
            fn: False negatives.
            tn: True negatives.
        """
        assert self.metric_fn is not None
        return self.metric_fn(tp, fp, fn, tn)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """The loss of a batch.

        Args:
            y_true: Columns of 0 and 1, or class numbers.
            y_pred: Probabilities, or logits.
            sample_weight: Weights, used inside of the confusion matrix.
        """
        dtype = "float64" if self.dtype == "float64" else "float32"
        targets = align(y_true, y_pred, sample_weight, dtype=dtype, ignore_class=self.ignore_class)
        return ops.cast(self._reduce(targets), self.dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of a batch without weights.

        Args:
            y_true: Columns of 0 and 1, or class numbers.
            y_pred: Probabilities, or logits.
        """
        return self(y_true, y_pred)

    def _reduce(self, targets: Targets) -> Tensor:
        matrix, support = self._confusion(targets)
        if self.average == "micro":
            return 1.0 - self.metric(*(ops.sum(entry) for entry in matrix))
        losses = 1.0 - self.metric(*matrix)
        if self.average == "weighted":
            return ratio(ops.sum(support * losses), ops.sum(support))
        if self.average == "macro" or self.reduction in {
            "sum_over_batch_size",
            "mean",
            "mean_with_sample_weight",
        }:
            return ops.mean(losses)
        return ops.sum(losses) if self.reduction == "sum" else losses

    def _confusion(self, targets: Targets) -> tuple[tuple[Tensor, ...], Tensor]:
        """TP, FP, FN, TN and the positive samples, for each class that counts."""
        y, p, w = targets
        # A value of weight zero must not count even if it is NaN.
        p = ops.where(ops.equal(w, 0), ops.zeros_like(p), p)
        a = approximate(ops.sigmoid(p) if self.from_logits else p, self.amplifying_scale)
        axes = tuple(range(len(p.shape) - 1))

        def total(x: Tensor) -> Tensor:
            return self._kept(ops.sum(w * x, axis=axes))

        tp, fn = total(y * a), total(y * (1.0 - a))
        fp, tn = total((1.0 - y) * a), total((1.0 - y) * (1.0 - a))
        return (tp, fp, fn, tn), total(y)

    def _kept(self, by_class: Tensor) -> Tensor:
        """Without the column of the ignored class."""
        ignored, classes = self.ignore_class, by_class.shape[0]
        if ignored is None or classes == 1 or not 0 <= ignored < classes:
            return by_class
        return ops.concatenate([by_class[:ignored], by_class[ignored + 1 :]])

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """One class, several with class numbers, and logits of one-hot targets."""
        metric = {"metric_fn": jaccard_index} if cls is AnyLoss else {}
        traits = frozenset({"couples_batch"})
        labels = TensorSpec((6, 1), values="binary")
        chances = TensorSpec((6, 1), low=0.05, high=0.95)
        yield Example(cls, metric, (labels, chances), traits=traits, name="binary")
        yield Example(
            cls,
            {**metric, "average": "micro"},
            (
                TensorSpec((8,), dtype="int32", low=0, high=3),
                TensorSpec((8, 3), values="probabilities"),
            ),
            traits=traits,
            name="micro",
        )
        yield Example(
            cls,
            {**metric, "from_logits": True, "average": "weighted"},
            (TensorSpec((8, 3), values="one_hot"), TensorSpec((8, 3))),
            traits=traits,
            name="logits",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No metric, useless scales, unknown averages."""
        metric = {"metric_fn": jaccard_index} if cls is AnyLoss else {}
        if cls is AnyLoss:
            yield Rejection(cls, {}, "metric_fn")
            yield Rejection(cls, {"metric_fn": "f1"}, "metric_fn")
        yield Rejection(cls, {**metric, "amplifying_scale": -1.0}, "amplifying_scale")
        yield Rejection(cls, {**metric, "average": "mean"}, "average")
        yield Rejection(cls, {**metric, "epsilon": 0.0}, "epsilon")
        yield Rejection(cls, {**metric, "ignore_class": "background"}, "ignore_class")
