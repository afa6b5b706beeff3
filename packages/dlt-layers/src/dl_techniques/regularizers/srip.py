"""A penalty on the largest deviation from orthonormal columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    NonNegativeNumber,
    PositiveNumber,
    Regularizer,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.regularizers.matrix import as_matrix


@component(
    "dl_techniques>SRIPRegularizer",
    kind="regularizer",
    tags=("orthogonality",),
    paper="arXiv:1810.09102",
    since="0.1",
)
class SRIPRegularizer(Regularizer):
    """Spectral restricted isometry: lowers the worst distortion of lengths by a weight.

    factor sigma(A), with A = W^T W - I, so that sigma(A) = max_i |s_i^2 - 1| over the singular
    values s_i of W, and at least 1 if W has fewer rows than columns

    A weight of more than two axes is seen as W of shape `(prod(shape[:-1]), shape[-1])`; a vector
    as one column. The norm is estimated from below by power iteration: v <- A (A v) / |A (A v)|,
    sigma ~ sqrt(|A v|^2 + epsilon). The square of A decides between eigenvalues a and -a, which a
    Rayleigh quotient of A cannot. v starts from fixed normal numbers that depend on the shape
    only, and is a constant to the gradient. A is never formed: a step takes 8 m n operations.
    Few iterations underestimate the norm (the default by up to a third for random weights); the
    paper accepts that. Computed in float32 under half precision.

    Args:
        factor: Weight of the penalty.
        power_iterations: Number of steps of the power iteration.
        epsilon: Added under the root, whose gradient at 0 is infinite.
        mode: `"columns"` as in the paper, or `"auto"`: columns if there are at most as many of
            them as rows, else rows.

    Raises:
        ValueError: If a number is out of range, the mode is unknown, or a scalar is given.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.regularizers import SRIPRegularizer
        >>> penalty = SRIPRegularizer(factor=1.0, power_iterations=50)
        >>> round(float(penalty(np.diag([1.0, 2.0, 0.5]).astype("float32"))), 4)  # 2^2 - 1
        3.0

    References:
        Bansal, Chen and Wang, "Can We Gain More from Orthogonality Regularizations in Training
        Deep CNNs?", arXiv:1810.09102.
    """

    def __init__(
        self,
        factor: NonNegativeNumber = 0.1,
        power_iterations: Count = 3,
        epsilon: PositiveNumber = 1e-12,
        mode: Literal["columns", "auto"] = "columns",
    ) -> None:
        self.factor = factor
        self.power_iterations = power_iterations
        self.epsilon = epsilon
        self.mode = mode

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty, a scalar.

        Args:
            x: The weight.
        """
        w = as_matrix(x)
        if self.mode == "auto" and w.shape[0] < w.shape[1]:
            w = ops.transpose(w)
        v = ops.stop_gradient(self._direction(ops.stop_gradient(w)))
        return self.factor * ops.sqrt(ops.sum(ops.square(_deviation(w, v))) + self.epsilon)

    def _direction(self, w: Tensor) -> Tensor:
        """Return a unit vector near the leading eigenvector of A^2."""
        rows, columns = w.shape
        start = np.random.default_rng((rows, columns)).standard_normal(columns)
        v = ops.convert_to_tensor(start / np.linalg.norm(start), dtype=w.dtype)
        for _ in range(self.power_iterations):
            u = _deviation(w, _deviation(w, v))
            largest = ops.max(ops.abs(u))
            # Dividing by the largest entry first keeps the squares of small vectors from vanishing.
            u = u / ops.where(largest > 0, largest, 1.0)
            v = ops.where(largest > 0, u / ops.sqrt(ops.sum(ops.square(u))), v)
        return v

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A tall matrix, a wide matrix, a kernel of a convolution."""
        yield Example(cls, inputs=TensorSpec((6, 4)))
        yield Example(cls, {"factor": 1.0, "power_iterations": 1}, TensorSpec((3, 5)), name="wide")
        yield Example(cls, {"mode": "auto"}, TensorSpec((2, 2, 1, 7)), name="kernel")


def _deviation(w: Tensor, v: Tensor) -> Tensor:
    """(W^T W - I) v."""
    return ops.matmul(ops.transpose(w), ops.matmul(w, v)) - v
