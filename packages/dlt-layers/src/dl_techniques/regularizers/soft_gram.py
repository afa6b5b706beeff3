"""Base of penalties on a Gram matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from keras import ops

from dl_techniques.core import (
    Example,
    NonNegativeNumber,
    Regularizer,
    Rejection,
    Tensor,
    TensorSpec,
)
from dl_techniques.regularizers.matrix import as_matrix


class SoftGram(Regularizer):
    """factor d(W) + l1 ||W||_1 + l2 ||W||_F^2; a subclass defines the distance d.

    Args:
        factor: Weight of the distance.
        l1: Weight of the sum of absolute values.
        l2: Weight of the sum of squares.
        mode: `"columns"`, or `"auto"`: columns if there are at most as many of them as rows, else
            rows.
    """

    def __init__(
        self,
        factor: NonNegativeNumber = 0.01,
        l1: NonNegativeNumber = 0.0,
        l2: NonNegativeNumber = 0.0,
        mode: Literal["columns", "auto"] = "columns",
    ) -> None:
        self.factor = factor
        self.l1 = l1
        self.l2 = l2
        self.mode = mode

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty, a scalar.

        Args:
            x: The weight.
        """
        w = as_matrix(x)
        penalty = self.factor * self._distance(w)
        if self.l1:
            penalty = penalty + self.l1 * ops.sum(ops.abs(w))
        if self.l2:
            penalty = penalty + self.l2 * ops.sum(ops.square(w))
        return penalty

    def _distance(self, w: Tensor) -> Tensor:
        """Distance of a matrix from the target, at least 0."""
        raise NotImplementedError

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A tall matrix, a wide matrix, a kernel of a convolution."""
        yield Example(cls, inputs=TensorSpec((6, 4)))
        yield Example(cls, {"factor": 0.1, "l1": 0.01, "l2": 0.02}, TensorSpec((3, 5)), name="wide")
        yield Example(cls, {"mode": "auto"}, TensorSpec((3, 3, 2, 4)), name="kernel")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Negative weights, an unknown mode."""
        yield Rejection(cls, {"l1": float("nan")}, "l1")
