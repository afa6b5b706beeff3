"""Lengths of capsules as probabilities."""

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
from dl_techniques.layers.capsules.squash import squash
from dl_techniques.layers.norms.along_axes import AlongAxes


@component(
    "dl_techniques>SquashLayer",
    kind="layer",
    tags=("capsule", "activation"),
    paper="arXiv:1710.09829",
    since="0.1",
)
class SquashLayer(AlongAxes):
    """Squashing of capsules: keeps the direction of a vector and maps its length into [0, 1).

    v = |s|^2 / (1 + |s|^2) * s / sqrt(|s|^2 + epsilon), so that |v| = |s|^2 / (1 + |s|^2)

    Zero stays zero, with a finite gradient. Computed in float32 at least, because the square of a
    float16 overflows from 256 on. Masked positions do not count in lengths over their axes.

    Args:
        axis: The axis or axes along which the components of a capsule lie.
        epsilon: Added to |s|^2 where it is divided by. Capsules whose squared length is not far
            above it come out too short.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        The input's.

    Raises:
        ValueError: If `axis` is empty, repeated or beyond the input's rank, or `epsilon` is not
            positive.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import SquashLayer
        >>> v = SquashLayer()(ops.array([[3.0, 4.0], [0.0, 0.0]]))  # |s|^2 = 25, |v| = 25 / 26
        >>> ops.convert_to_numpy(v).astype(float).round(4).tolist()
        [[0.5769, 0.7692], [0.0, 0.0]]

    References:
        Sabour, Frosst and Hinton, "Dynamic Routing Between Capsules", arXiv:1710.09829.
    """

    def __init__(
        self, axis: int | Sequence[int] = -1, epsilon: float = 1e-7, **kwargs: Any
    ) -> None:
        super().__init__(axis=axis, epsilon=epsilon, **kwargs)

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Squash in float32 and return the compute dtype."""
        v = squash(upcast(inputs), self.axis, self.epsilon, mask)
        return ops.cast(v, self.compute_dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Vectors on the last axis, and on two in the middle."""
        traits = frozenset({"permutation_equivariant"})
        yield Example(cls, inputs=TensorSpec((2, 5, 4)), traits=traits)
        yield Example(cls, {"axis": (1, 2)}, TensorSpec((2, 3, 2, 4)), name="middle_axes")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No axis, one beyond the rank, a useless epsilon."""
        yield Rejection(cls, {"axis": ()}, "axis")
        yield Rejection(cls, {"axis": 3}, "axis", build=(2, 3, 4))
