"""Margin loss of capsule networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from keras import ops

from dl_techniques.core import Example, Loss, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_fractions, require_nonnegative, require_one_of
from dl_techniques.losses.targets import class_columns

_INPUT_TYPES = ("auto", "lengths", "capsules")
_SMALLEST = 1e-9


@component(
    "dl_techniques>CapsuleMarginLoss",
    kind="loss",
    tags=("capsule", "classification"),
    paper="arXiv:1710.09829",
    since="0.1",
)
class CapsuleMarginLoss(Loss):
    """Margin loss of capsules: long for classes that are present, short for others.

    L = sum_k T_k max(0, m+ - |v_k|)^2 + lambda (1 - T_k) max(0, |v_k| - m-)^2

    T_k is 1 where class k is present; several may be. A sample's value depends on that sample
    only: weights and reduction are Keras's own.

    Args:
        positive_margin: m+, from 0 to 1.
        negative_margin: m-, from 0 to 1.
        down_weight: lambda, the weight of absent classes; not negative.
        input_type: `"lengths"` if predictions are lengths |v_k|, `"capsules"` if they are the
            vectors v_k; `"auto"` tells them by their rank, two or three.
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_pred`: `(batch, classes)` or `(batch, classes, dim)`. `y_true`: `(batch, classes)` with
        0 and 1, or class numbers `(batch,)` or `(batch, 1)`.

    Output shape:
        `()`; `(batch,)` with `reduction=None`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import CapsuleMarginLoss
        >>> lengths = np.array([[0.95, 0.3, 0.05], [0.2, 0.6, 0.92]])
        >>> round(float(CapsuleMarginLoss()(np.array([0, 1]), lengths)), 4)
        0.2256

    References:
        Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", arXiv:1710.09829.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "masked_evaluation": "the axis after the batch holds classes, not steps"
    }

    def __init__(
        self,
        positive_margin: float = 0.9,
        negative_margin: float = 0.1,
        down_weight: float = 0.5,
        input_type: str = "auto",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "capsule_margin_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        require_fractions(positive_margin=positive_margin, negative_margin=negative_margin)
        require_nonnegative(down_weight=down_weight)
        require_one_of(_INPUT_TYPES, input_type=input_type)
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin
        self.down_weight = down_weight
        self.input_type = input_type

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each sample.

        Args:
            y_true: Columns or class numbers.
            y_pred: Lengths or capsules.
        """
        rank = {"lengths": 2, "capsules": 3, "auto": len(y_pred.shape)}[self.input_type]
        if len(y_pred.shape) != rank or rank not in {2, 3}:
            raise ValueError(
                "`y_pred` must be lengths (batch, classes) or capsules (batch, classes, dim). "
                f"Received: y_pred of shape {tuple(y_pred.shape)}, input_type={self.input_type!r}"
            )
        lengths = y_pred
        if rank == 3:
            lengths = ops.sqrt(ops.sum(y_pred * y_pred, axis=-1) + _SMALLEST)
        present, _ = class_columns(y_true, lengths, None)
        missing = ops.relu(self.positive_margin - lengths) ** 2
        excess = ops.relu(lengths - self.negative_margin) ** 2
        return ops.sum(present * missing + self.down_weight * (1.0 - present) * excess, axis=-1)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Lengths with class numbers, capsules with several classes."""
        numbers = TensorSpec((4,), dtype="int32", low=0, high=3)
        yield Example(cls, {}, (numbers, TensorSpec((4, 3), low=0.2, high=0.8)))
        several = (TensorSpec((4, 3), values="binary"), TensorSpec((4, 3, 5)))
        yield Example(cls, {"input_type": "capsules"}, several, name="capsules")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Margins beyond one, unknown inputs."""
        yield Rejection(cls, {"positive_margin": 1.5}, "positive_margin")
        yield Rejection(cls, {"negative_margin": -0.5}, "negative_margin")
        yield Rejection(cls, {"down_weight": -1.0}, "down_weight")
        yield Rejection(cls, {"input_type": "vectors"}, "input_type")
