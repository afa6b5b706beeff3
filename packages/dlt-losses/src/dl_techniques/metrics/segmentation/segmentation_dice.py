"""Dice coefficient of label maps."""

from __future__ import annotations

from dl_techniques.core import Tensor, component
from dl_techniques.losses.ratio import ratio
from dl_techniques.metrics.segmentation.overlap_metric import OverlapMetric


@component("dl_techniques>SegmentationDice", kind="metric", tags=("segmentation",), since="0.1")
class SegmentationDice(OverlapMetric):
    """Dice coefficient of predicted and true pixels.

    Dice = 2 |P and T| / (|P| + |T|), the F1 score of pixels

    P are the predicted and T the true pixels of a class, over the whole data set: the value of an
    epoch is exact over its batches.

    Args:
        **kwargs: Settings of `OverlapMetric` (`num_classes`, `multilabel`, `threshold`,
            `include_background`, `ignore_class`, `average`, `name`, `dtype`).

    Input shape:
        `y_pred`: `(batch, ..., num_classes)`. `y_true`: the same, or class numbers `(batch, ...)`
        or `(batch, ..., 1)`. `sample_weight`: `(batch,)`, up to one weight a pixel. Pixels that a
        mask of `y_pred` hides do not count.

    Output shape:
        `()`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.metrics import SegmentationDice
        >>> metric = SegmentationDice(num_classes=1)
        >>> p = np.array([[[0.9], [0.6], [0.7], [0.1]]])
        >>> metric.update_state(np.array([[[1], [1], [0], [0]]]), p)
        >>> round(float(metric.result()), 4)
        0.8

    References:
        Dice, "Measures of the Amount of Ecologic Association Between Species", Ecology 26, 1945.
    """

    default_name = "segmentation_dice"

    def score(self, overlap: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
        """Return the score from sums of pixels.

        Args:
            overlap: Pixels both predicted and true.
            predicted: Predicted pixels.
            true: True pixels.
        """
        return ratio(2.0 * overlap, predicted + true)
