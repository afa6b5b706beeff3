"""Logit normalization."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from keras import ops

from dl_techniques.core import (
    Example,
    PositiveNumber,
    Rejection,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.norms.along_axes import AlongAxes
from dl_techniques.layers.norms.axes import norm, positive_axes


@component(
    "dl_techniques>LogitNorm",
    kind="layer",
    tags=("normalization", "calibration", "out-of-distribution"),
    paper="arXiv:2205.09310",
    since="0.1",
)
class LogitNorm(AlongAxes):
    """Logit normalization: logits of a constant length, so that confidence is in the direction.

    y = z / (tau (||z||_2 + epsilon))

    In the paper it stands in the training loss only: the cross-entropy of y. That loss cannot
    fall below ln(1 + (K - 1) exp(-sqrt(K / (K - 1)) / tau)) for K classes, and no entry of y is
    larger than 1 / tau. The order of the logits stays. The length is computed in float32 at least.

    Args:
        temperature: tau; 0.04 was tuned on CIFAR-10.
        axis: Axis or axes of the logits.
        epsilon: Added to the length.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any; usually `(batch, classes)`.

    Output shape:
        The input's.

    Raises:
        ValueError: If `temperature` or `epsilon` is not positive, or `axis` is repeated or beyond
            the input's rank.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import LogitNorm
        >>> y = LogitNorm(temperature=0.1)(ops.array([[3.0, 4.0]]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [[6.0, 8.0]]

    References:
        Wei et al., "Mitigating Neural Network Overconfidence with Logit Normalization",
        arXiv:2205.09310.
    """

    def __init__(
        self,
        temperature: PositiveNumber = 0.04,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, epsilon=epsilon, **kwargs)
        self.temperature = temperature

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize."""
        z = upcast(inputs)
        length = norm(z, positive_axes(self.axis, len(z.shape)), mask)
        return ops.cast(z / (self.temperature * (length + self.epsilon)), self.compute_dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Logits, and logits of each token at another temperature."""
        traits = frozenset({"scale_invariant"})
        yield Example(cls, {}, TensorSpec((3, 5)), traits=traits)
        traits = traits | {"permutation_equivariant"}
        yield Example(
            cls, {"temperature": 1.0}, TensorSpec((2, 3, 4)), traits=traits, name="tokens"
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, axes that are not there."""
        yield Rejection(cls, {"axis": ()}, "axis")
        yield Rejection(cls, {"axis": 2}, "axis", build=(2, 3))
