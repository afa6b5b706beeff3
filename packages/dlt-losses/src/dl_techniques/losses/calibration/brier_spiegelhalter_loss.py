"""Brier score with Spiegelhalter's statistic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_nonnegative, require_one_of
from dl_techniques.losses.batch_loss import BatchLoss
from dl_techniques.losses.calibration.brier_score_loss import brier_rows, probabilities
from dl_techniques.losses.calibration.spiegelhalter_z_loss import MODES, z_penalty
from dl_techniques.losses.targets import align_rows


@component(
    "dl_techniques>BrierSpiegelhalterLoss",
    kind="loss",
    tags=("calibration", "classification"),
    since="0.1",
)
class BrierSpiegelhalterLoss(BatchLoss):
    """Brier and Spiegelhalter loss: a proper score with a push towards calibration.

    loss = brier_weight B + z_weight Z^2 / N, with the mean Brier score B and the statistic Z of
    the batch

    B has its optimum at the true probabilities, which Z alone has not; see `SpiegelhalterZLoss`.
    The second part is one of the whole batch. Weight 2 is the same as a sample given twice.

    Args:
        brier_weight: Weight of the Brier score; not negative.
        z_weight: Weight of the statistic; not negative.
        mode: See `SpiegelhalterZLoss`.
        from_logits: Whether predictions are logits.
        reduction: See `BatchLoss`.
        name: Name of the loss.
        dtype: Dtype of the result; the computation is in float32 at least.

    Input shape:
        `y_pred`: `(batch, ..., classes)`, or one column. `y_true`: the same, or class numbers.
        `sample_weight`: `(batch,)`, up to one weight a position.

    Output shape:
        `()`; one value a row with `reduction=None`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import BrierSpiegelhalterLoss
        >>> y, p = np.array([0, 1, 1, 0, 1]), np.array([0.1, 0.3, 0.8, 0.6, 0.95])
        >>> round(float(BrierSpiegelhalterLoss()(y, p)), 4)  # 0.1805 + 0.1 * 0.0244
        0.1829

    References:
        Spiegelhalter, "Probabilistic prediction in patient management and clinical trials",
        Statistics in Medicine 5, 1986, doi:10.1002/sim.4780050506. Rufibach, "Use of Brier score
        to assess binary predictions", Journal of Clinical Epidemiology 63, 2010.
    """

    def __init__(
        self,
        brier_weight: float = 1.0,
        z_weight: float = 0.1,
        mode: str = "classwise",
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "brier_spiegelhalter_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        require_nonnegative(brier_weight=brier_weight, z_weight=z_weight)
        require_one_of(MODES, mode=mode)
        self.brier_weight = brier_weight
        self.z_weight = z_weight
        self.mode = mode
        self.from_logits = from_logits

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
        p = probabilities(scores, self.from_logits)
        penalty = z_penalty(y, p, weight, power=2, normalize=True, mode=self.mode)
        scores = brier_rows(y, p, from_logits=False, scale="sum", label_smoothing=0.0)
        return self.brier_weight * scores + self.z_weight * penalty, weight

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """One column, and logits of several classes."""
        one = (TensorSpec((8, 1), values="binary"), TensorSpec((8, 1), low=0.05, high=0.95))
        yield Example(cls, {}, one)
        numbers = TensorSpec((8,), dtype="int32", low=0, high=3)
        yield Example(
            cls,
            {"from_logits": True, "z_weight": 1.0},
            (numbers, TensorSpec((8, 3))),
            name="logits",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Weights below zero, unknown modes."""
        yield Rejection(cls, {"brier_weight": -1.0}, "brier_weight")
        yield Rejection(cls, {"z_weight": -1.0}, "z_weight")
        yield Rejection(cls, {"mode": "micro"}, "mode")
