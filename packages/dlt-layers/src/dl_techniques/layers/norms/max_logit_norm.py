"""The direction of logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from keras import ops

from dl_techniques.core import (
    Example,
    Rejection,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.norms.along_axes import AlongAxes
from dl_techniques.layers.norms.axes import norm, positive_axes


@component(
    "dl_techniques>MaxLogitNorm",
    kind="layer",
    tags=("normalization", "out-of-distribution"),
    since="0.1",
)
class MaxLogitNorm(AlongAxes):
    """Direction of logits, whose largest entry scores how familiar a sample is.

    y = z / (||z||_2 + epsilon)

    An approximation that needs nothing but logits: it decouples the length of the *logits*. The
    paper's decoupling is of the features and the class weights, for which see
    `DecoupledMaxLogit`. The length is computed in float32 at least.

    Args:
        axis: Axis or axes of the logits.
        epsilon: Added to the length.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any; usually `(batch, classes)`.

    Output shape:
        The input's.

    Raises:
        ValueError: If `epsilon` is not positive, or `axis` is repeated or beyond the input's rank.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import MaxLogitNorm
        >>> y = MaxLogitNorm()(ops.array([[3.0, 4.0]]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [[0.6, 0.8]]

    References:
        Zhang and Xiang, "Decoupling MaxLogit for Out-of-Distribution Detection", CVPR 2023.
    """

    def __init__(
        self, axis: int | Sequence[int] = -1, epsilon: float = 1e-7, **kwargs: Any
    ) -> None:
        super().__init__(axis=axis, epsilon=epsilon, **kwargs)

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize."""
        z = upcast(inputs)
        length = norm(z, positive_axes(self.axis, len(z.shape)), mask)
        return ops.cast(z / (length + self.epsilon), self.compute_dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Logits, and a volume of them."""
        traits = frozenset({"scale_invariant", "idempotent"})
        yield Example(cls, {}, TensorSpec((3, 5)), traits=traits)
        yield Example(cls, {"axis": (1, 2)}, TensorSpec((2, 3, 4, 2)), traits=traits, name="axes")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """A useless epsilon, axes that are not there."""
        yield Rejection(cls, {"axis": (1, -1)}, "axis", build=(2, 3))
