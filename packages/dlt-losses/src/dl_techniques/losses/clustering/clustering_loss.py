"""Distance to hard assignments and balance of clusters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_nonnegative, require_one_of
from dl_techniques.losses.batch_loss import BatchLoss
from dl_techniques.losses.ratio import ratio
from dl_techniques.losses.targets import align_rows

_TARGETS = ("labels", "argmax")


@component(
    "dl_techniques>ClusteringLoss",
    kind="loss",
    tags=("clustering",),
    since="0.1",
)
class ClusteringLoss(BatchLoss):
    """Clustering loss: soft assignments near hard ones, over clusters of equal size.

    loss = w_d mean_ik (q_ik - h_ik)^2 + w_b mean_k (mean_i q_ik - 1 / K)^2

    q are soft assignments to K clusters and h hard ones. It is not from a paper; that of deep
    embedded clustering is `DECLoss`. The second term is one of the whole batch: with fewer samples
    than clusters it cannot reach zero. Weight 2 is the same as a sample given twice.

    Args:
        distance_weight: w_d; not negative.
        distribution_weight: w_b; not negative.
        targets: `"labels"`: `y_true` holds h; `"argmax"`: h is the largest of q, without
            gradient, and `y_true` is ignored.
        reduction: See `BatchLoss`.
        name: Name of the loss.
        dtype: Dtype of the result; the computation is in float32 at least.

    Input shape:
        `y_pred`: `(batch, ..., clusters)`, sums of one. `y_true`: the same, or cluster numbers.
        `sample_weight`: `(batch,)`, up to one weight a position.

    Output shape:
        `()`; one value a row with `reduction=None`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import ClusteringLoss
        >>> q = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
        >>> round(float(ClusteringLoss(targets="argmax")(None, q)), 4)  # 0.0583 + 0.0060
        0.0643

    References:
        Xie, Girshick and Farhadi, "Unsupervised Deep Embedding for Clustering Analysis",
        arXiv:1511.06335 (for comparison: `DECLoss`).
    """

    def __init__(
        self,
        distance_weight: float = 1.0,
        distribution_weight: float = 1.0,
        targets: str = "labels",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "clustering_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        require_nonnegative(
            distance_weight=distance_weight, distribution_weight=distribution_weight
        )
        require_one_of(_TARGETS, targets=targets)
        self.distance_weight = distance_weight
        self.distribution_weight = distribution_weight
        self.targets = targets

    def rows(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the value and the weight of each row.

        Args:
            y_true: Hard assignments.
            y_pred: Soft assignments.
            sample_weight: Weights.
        """
        if self.targets == "argmax":
            y_true = ops.argmax(y_pred, axis=-1)
        h, q, weight = align_rows(y_true, y_pred, sample_weight, dtype=self.wide_dtype)
        distances = ops.mean((q - h) ** 2, axis=-1)
        sizes = ratio(ops.sum(weight[:, None] * q, axis=0), ops.sum(weight))
        imbalance = ops.mean((sizes - 1.0 / q.shape[-1]) ** 2)
        return self.distance_weight * distances + self.distribution_weight * imbalance, weight

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Labels, and the nearest cluster."""
        q = TensorSpec((6, 3), values="probabilities")
        yield Example(cls, {}, (TensorSpec((6,), dtype="int32", low=0, high=3), q))
        yield Example(cls, {"targets": "argmax"}, (TensorSpec((6,)), q), name="argmax")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Weights below zero, unknown targets."""
        yield Rejection(cls, {"distance_weight": -1.0}, "distance_weight")
        yield Rejection(cls, {"distribution_weight": -1.0}, "distribution_weight")
        yield Rejection(cls, {"targets": "kmeans"}, "targets")
