"""Intersection over union, as a metric for `AnyLoss`."""

from __future__ import annotations

from dl_techniques.core import Tensor, component
from dl_techniques.losses.ratio import ratio


@component(
    "dl_techniques>jaccard_index",
    kind="function",
    tags=("any-loss", "classification"),
    since="0.1",
)
def jaccard_index(tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
    """Jaccard index of a confusion matrix: intersection over union.

    J = TP / (TP + FP + FN); zero if there is neither a positive sample nor a positive prediction.

    Args:
        tp: True positives.
        fp: False positives.
        fn: False negatives.
        tn: True negatives; of no effect.

    Returns:
        A tensor of the arguments' shape.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import AnyLoss, jaccard_index
        >>> loss = AnyLoss.from_metric(jaccard_index, amplifying_scale=30.0)
        >>> round(float(loss(np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0]))), 4)
        0.5

    References:
        Jaccard, "The Distribution of the Flora in the Alpine Zone", New Phytologist 11, 1912.
    """
    del tn
    return ratio(tp, tp + fp + fn)
