"""Loss of deep embedded clustering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Example, Loss, Tensor, TensorSpec, component

_SMALLEST = 1e-12


@component(
    "dl_techniques>DECLoss",
    kind="loss",
    tags=("clustering",),
    paper="arXiv:1511.06335",
    since="0.1",
)
class DECLoss(Loss):
    """Loss of deep embedded clustering: divergence of soft assignments from sharpened ones.

    KL_i = sum_j p_ij log(p_ij / q_ij)

    q are the assignments of `student_t_assignments`, p the targets of `dec_targets` of the whole
    data set, computed every few hundred steps and given as `y_true`; no gradient flows into
    them. A sample's value depends on that sample only: weights and reduction are Keras's own.

    Args:
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `(batch, clusters)` both, sums of one.

    Output shape:
        `()`; `(batch,)` with `reduction=None`.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import DECLoss, dec_targets
        >>> q = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
        >>> round(float(DECLoss()(dec_targets(q), q)), 4)
        0.1207

    References:
        Xie, Girshick and Farhadi, "Unsupervised Deep Embedding for Clustering Analysis",
        arXiv:1511.06335.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dec_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the divergence of each sample.

        Args:
            y_true: Targets p.
            y_pred: Assignments q.
        """
        p = ops.stop_gradient(y_true)
        q = ops.maximum(y_pred, _SMALLEST)
        return ops.sum(p * (ops.log(ops.maximum(p, _SMALLEST)) - ops.log(q)), axis=-1)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Assignments to three clusters."""
        q = TensorSpec((6, 3), values="probabilities")
        yield Example(cls, {}, (q, q))
