"""Cross-entropy with two terms against gaming it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_fractions, require_nonnegative
from dl_techniques.losses.batch_loss import BatchLoss
from dl_techniques.losses.ratio import ratio
from dl_techniques.losses.targets import align_rows

_SMALLEST = 1e-7


@component(
    "dl_techniques>GoodhartAwareLoss",
    kind="loss",
    tags=("calibration", "classification"),
    paper="arXiv:1701.06548",
    since="0.1",
)
class GoodhartAwareLoss(BatchLoss):
    """Goodhart-aware loss: cross-entropy with an entropy bonus and an information penalty.

    loss = CE(y, p) - a E[H(p_i)] + b I, I = H(E[p_i]) - E[H(p_i)],
    with the entropy H of a prediction and weighted means E over the batch

    The bonus is the confidence penalty of Pereyra et al.; I is the mutual information of input
    and prediction within the batch, at most log min(batch, classes), which the information
    bottleneck penalizes. As a sum: CE + b H(E[p]) - (a + b) E[H(p)].

    This combination is not from a paper. Keep b small: a penalty of I pulls predictions of
    different inputs together, and where b outweighs the labels they collapse into one class. With
    label smoothing, which penalizes confidence from the other side, take a = 0.

    The last two terms are of the whole batch: the loss does not add up over batches. Weight 2 is
    the same as a sample given twice.

    Args:
        entropy_weight: a; not negative.
        mi_weight: b; not negative.
        from_logits: Whether predictions are logits.
        label_smoothing: Share of each label that is spread over all classes, from 0 to 1.
        reduction: See `BatchLoss`.
        name: Name of the loss.
        dtype: Dtype of the result; the computation is in float32 at least.

    Input shape:
        `y_pred`: `(batch, ..., classes)`, two classes at least. `y_true`: the same, or class
        numbers. `sample_weight`: `(batch,)`, up to one weight a position.

    Output shape:
        `()`; one value a row with `reduction=None`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import GoodhartAwareLoss
        >>> logits = np.array([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [-1.0, 3.0, 0.0]])
        >>> round(float(GoodhartAwareLoss()(np.array([0, 2, 1]), logits)), 4)
        0.3734

    References:
        Pereyra et al., "Regularizing Neural Networks by Penalizing Confident Output
        Distributions", arXiv:1701.06548. Tishby, Pereira and Bialek, "The information bottleneck
        method", arXiv:physics/0004057.
    """

    def __init__(
        self,
        entropy_weight: float = 0.1,
        mi_weight: float = 0.01,
        from_logits: bool = True,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "goodhart_aware_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        require_nonnegative(entropy_weight=entropy_weight, mi_weight=mi_weight)
        require_fractions(label_smoothing=label_smoothing)
        self.entropy_weight = entropy_weight
        self.mi_weight = mi_weight
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    def rows(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the value and the weight of each row.

        Args:
            y_true: Labels.
            y_pred: Predictions.
            sample_weight: Weights.
        """
        y, scores, weight = align_rows(y_true, y_pred, sample_weight, dtype=self.wide_dtype)
        classes = scores.shape[-1]
        if classes < 2:
            raise ValueError(
                "`y_pred` must have a column for each of two classes at least. "
                f"Received: y_pred of shape {tuple(scores.shape)}"
            )
        if self.from_logits:
            log_p = ops.log_softmax(scores)
            p = ops.exp(log_p)
        else:
            p = scores
            log_p = ops.log(ops.clip(p, _SMALLEST, 1.0))
        y = y * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        # 0 log 0 is 0, however large a logit is.
        entropies = -ops.sum(p * ops.maximum(log_p, -1e4), axis=-1)
        cross_entropies = -ops.sum(
            ops.where(ops.equal(y, 0), ops.zeros_like(p), y * log_p), axis=-1
        )
        mean_entropy = ratio(ops.sum(weight * entropies), ops.sum(weight))
        mean = ratio(ops.sum(weight[:, None] * p, axis=0), ops.sum(weight))
        entropy_of_mean = -ops.sum(mean * ops.log(ops.maximum(mean, _SMALLEST**2)))
        information = entropy_of_mean - mean_entropy
        batch = self.mi_weight * information - self.entropy_weight * mean_entropy
        return cross_entropies + batch, weight

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Logits with class numbers, probabilities with one-hot labels."""
        numbers = TensorSpec((6,), dtype="int32", low=0, high=3)
        yield Example(cls, {}, (numbers, TensorSpec((6, 3))))
        yield Example(
            cls,
            {"from_logits": False, "label_smoothing": 0.1},
            (TensorSpec((6, 3), values="one_hot"), TensorSpec((6, 3), values="probabilities")),
            name="probabilities",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Weights below zero, smoothing beyond the whole label."""
        yield Rejection(cls, {"entropy_weight": -1.0}, "entropy_weight")
        yield Rejection(cls, {"mi_weight": -1.0}, "mi_weight")
        yield Rejection(cls, {"label_smoothing": 2.0}, "label_smoothing")
