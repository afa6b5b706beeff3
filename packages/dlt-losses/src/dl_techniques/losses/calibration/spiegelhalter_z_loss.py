"""Spiegelhalter's test of calibration as a loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_one_of
from dl_techniques.losses.batch_loss import BatchLoss
from dl_techniques.losses.calibration.brier_score_loss import probabilities
from dl_techniques.losses.targets import align_rows

MODES = ("classwise", "top_label")
_CLIPPED = 1e-6
_SMALLEST = 1e-12


@component(
    "dl_techniques>SpiegelhalterZLoss",
    kind="loss",
    tags=("calibration", "classification"),
    since="0.1",
)
class SpiegelhalterZLoss(BatchLoss):
    """Spiegelhalter Z loss: how far a batch is from calibrated, by the test statistic.

    Z = sum_i w_i (y_i - p_i) (1 - 2 p_i) / sqrt(sum_i w_i (1 - 2 p_i)^2 p_i (1 - p_i)),
    loss = Z^2 / sum_i w_i, or |Z| / sqrt(sum_i w_i) with `power=1`

    Over-confident predictions have Z far above zero, under-confident ones far below; calibrated
    ones have a standard normal Z. Never train with it alone: p = 0.5 everywhere is a trivial
    optimum, and over- and under-confidence can cancel. Use `BrierSpiegelhalterLoss`.

    The loss is one of the whole batch: it does not add up over batches, and small batches are
    noisy. Weight 2 is the same as a sample given twice.

    Args:
        power: 2 for Z squared, 1 for its magnitude.
        normalize: Whether to divide by the size of the batch, so that the scale does not grow
            with it.
        mode: For several columns: `"classwise"`, the mean over one-vs-rest problems, or
            `"top_label"`, the largest probability against being right.
        from_logits: Whether predictions are logits.
        reduction: See `BatchLoss`; the value is the same for each row.
        name: Name of the loss.
        dtype: Dtype of the result; the computation is in float32 at least.

    Input shape:
        `y_pred`: `(batch, ..., classes)`, or one column. `y_true`: the same, or class numbers.
        `sample_weight`: `(batch,)`, up to one weight a position.

    Output shape:
        `()`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import SpiegelhalterZLoss
        >>> y, p = np.array([0, 1, 1, 0, 1]), np.array([0.1, 0.3, 0.8, 0.6, 0.95])
        >>> round(float(SpiegelhalterZLoss()(y, p)), 4)  # Z = 0.3493
        0.0244

    References:
        Spiegelhalter, "Probabilistic prediction in patient management and clinical trials",
        Statistics in Medicine 5, 1986, doi:10.1002/sim.4780050506.
    """

    def __init__(
        self,
        power: int = 2,
        normalize: bool = True,
        mode: str = "classwise",
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "spiegelhalter_z_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        require_one_of((1, 2), power=power)
        require_one_of(MODES, mode=mode)
        self.power = power
        self.normalize = normalize
        self.mode = mode
        self.from_logits = from_logits

    def rows(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the value of the batch for each row, and the rows' weights.

        Args:
            y_true: Labels.
            y_pred: Predictions.
            sample_weight: Weights.
        """
        y, scores, weight = align_rows(y_true, y_pred, sample_weight, dtype=self.wide_dtype)
        p = probabilities(scores, self.from_logits)
        value = z_penalty(y, p, weight, self.power, self.normalize, self.mode)
        return value * ops.ones_like(weight), weight

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """One column, several classes, logits with top labels."""
        one = (TensorSpec((8, 1), values="binary"), TensorSpec((8, 1), low=0.05, high=0.95))
        yield Example(cls, {}, one)
        numbers = TensorSpec((8,), dtype="int32", low=0, high=3)
        yield Example(
            cls,
            {"power": 1},
            (numbers, TensorSpec((8, 3), values="probabilities")),
            name="magnitude",
        )
        config = {"from_logits": True, "mode": "top_label", "normalize": False}
        yield Example(cls, config, (numbers, TensorSpec((8, 3))), name="top_label")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown powers and modes."""
        yield Rejection(cls, {"power": 3}, "power")
        yield Rejection(cls, {"mode": "micro"}, "mode")


def z_penalty(
    y: Tensor, p: Tensor, weight: Tensor, power: int, normalize: bool, mode: str
) -> Tensor:
    """Return the penalty of a batch, a scalar.

    Args:
        y: Labels, `(rows, classes)`.
        p: Probabilities.
        weight: Weights of rows.
        power: 1 or 2.
        normalize: Whether to divide by the size of the batch.
        mode: One of `MODES`.
    """
    if p.shape[-1] > 1 and mode == "top_label":
        top = ops.argmax(p, axis=-1)[:, None]
        y, p = ops.take_along_axis(y, top, axis=-1), ops.take_along_axis(p, top, axis=-1)
    p = ops.clip(p, _CLIPPED, 1.0 - _CLIPPED)
    w = weight[:, None]
    excess = ops.sum(w * (y - p) * (1.0 - 2.0 * p), axis=0)
    variance = ops.sum(w * (1.0 - 2.0 * p) ** 2 * p * (1.0 - p), axis=0) + _SMALLEST
    squares = excess**2 / variance
    size = ops.maximum(ops.sum(weight), _SMALLEST)
    if power == 1:
        magnitudes = ops.sqrt(squares + _SMALLEST)
        return ops.mean(magnitudes) / ops.sqrt(size) if normalize else ops.mean(magnitudes)
    return ops.mean(squares) / size if normalize else ops.mean(squares)
