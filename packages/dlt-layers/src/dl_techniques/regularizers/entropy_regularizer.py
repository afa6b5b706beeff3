"""A penalty on distributions of weights that are too even, or not even enough."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from keras import ops

from dl_techniques.core import (
    Example,
    Fraction,
    NonNegativeNumber,
    PositiveNumber,
    Regularizer,
    Rejection,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.norms.axes import checked_axis, positive_axes


@component(
    "dl_techniques>EntropyRegularizer",
    kind="regularizer",
    tags=("entropy", "sparsity"),
    since="0.1",
)
class EntropyRegularizer(Regularizer):
    """Entropy regularization: pulls the entropy of the weights on an axis towards a target.

    strength mean((H - target)^2), with H = -sum_i p_i log p_i / log n, and
    p = softmax(|w| / temperature) or p_i = |w_i| / sum_j |w_j| over the n entries of `axis`

    H is 0 if one entry holds everything, 1 if all are equal; for n = 1 it is 0. With
    `normalization="softmax"` the penalty is nearly blind at usual scales: weights of deviation
    0.05 have H = 0.9998, of deviation 1 still 0.93. Lower `temperature` to the scale of the
    weights, or choose `normalization="abs"`, which does not depend on the scale. Computed in
    float32 under half precision.

    Args:
        strength: Weight of the penalty.
        target_entropy: Wanted H, from 0 to 1.
        axis: Axis or axes of the weight along which p sums to one.
        epsilon: Added to each |w| if `normalization="abs"`, so that zeros are a uniform
            distribution.
        normalization: `"softmax"` or `"abs"`.
        temperature: Divisor of |w| in the softmax.

    Raises:
        ValueError: If a number is out of range, `normalization` is unknown, or the weight has no
            such axis.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.regularizers import EntropyRegularizer
        >>> penalty = EntropyRegularizer(1.0, target_entropy=0.5, normalization="abs")
        >>> round(float(penalty(np.array([[1.0, 1.0], [1.0, 0.0]], "float32"))), 4)
        0.25
    """

    def __init__(
        self,
        strength: NonNegativeNumber = 0.01,
        target_entropy: Fraction = 0.8,
        axis: int | Sequence[int] = -1,
        epsilon: PositiveNumber = 1e-7,
        normalization: Literal["softmax", "abs"] = "softmax",
        temperature: PositiveNumber = 1.0,
    ) -> None:
        self.strength = strength
        self.target_entropy = target_entropy
        self.axis = checked_axis(axis)
        self.epsilon = epsilon
        self.normalization = normalization
        self.temperature = temperature

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty, a scalar.

        Args:
            x: The weight.
        """
        w = upcast(ops.convert_to_tensor(x))
        axes = positive_axes(self.axis, len(w.shape))
        count = math.prod(w.shape[axis] for axis in axes)
        entropy = self._entropy(ops.abs(w), axes)
        if count > 1:
            entropy = entropy / math.log(count)
        return self.strength * ops.mean(ops.square(entropy - self.target_entropy))

    def _entropy(self, sizes: Tensor, axes: tuple[int, ...]) -> Tensor:
        """H in nats."""
        if self.normalization == "softmax":
            logits = sizes / self.temperature
            log_p = logits - ops.logsumexp(logits, axis=axes, keepdims=True)
            p = ops.exp(log_p)
        else:
            sizes = sizes + self.epsilon
            p = sizes / ops.sum(sizes, axis=axes, keepdims=True)
            log_p = ops.log(p)
        return -ops.sum(p * log_p, axis=axes)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Rows of a matrix, and the filters of a kernel."""
        yield Example(cls, inputs=TensorSpec((6, 4)))
        config = {"axis": (0, 1, 2), "normalization": "abs", "target_entropy": 0.3}
        yield Example(cls, config, TensorSpec((3, 3, 2, 4)), name="filters")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers out of range, an unknown normalization."""
        yield Rejection(cls, {"axis": ()}, "axis")
