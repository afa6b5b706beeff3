"""The smooth step that turns probabilities into nearly hard decisions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import (
    Example,
    Layer,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)

# From the next larger integer on, A(1) is one and A'(1) zero in floating point.
_LARGEST_SCALE = {"float32": 33, "float64": 73}


def approximate(p: Tensor, amplifying_scale: float) -> Tensor:
    """A(p) = 1 / (1 + exp(-L (p - 0.5))).

    Args:
        p: Probabilities.
        amplifying_scale: L.
    """
    return ops.sigmoid(amplifying_scale * (p - 0.5))


def checked_scale(amplifying_scale: float, dtype: str) -> float:
    """The scale L, if it is a positive number; with a warning if it is useless in `dtype`.

    Args:
        amplifying_scale: The user's argument.
        dtype: In which A is computed.

    Raises:
        ValueError: If it is no positive finite number.
    """
    if not isinstance(amplifying_scale, int | float) or not 0 < amplifying_scale < float("inf"):
        raise ValueError(
            "`amplifying_scale` must be a finite number above zero. "
            f"Received: amplifying_scale={amplifying_scale!r}"
        )
    dtype = dtype if dtype in _LARGEST_SCALE else "float32"
    limit = _LARGEST_SCALE[dtype]
    if amplifying_scale > limit:
        warnings.warn(
            f"`amplifying_scale` above {limit} gives no gradient at confident predictions in "
            f"{dtype}, so that wrong ones stay wrong. Received: "
            f"amplifying_scale={amplifying_scale}",
            stacklevel=4,
        )
    return amplifying_scale


@component(
    "dl_techniques>ApproximationFunction",
    kind="layer",
    tags=("any-loss", "classification"),
    paper="arXiv:2405.14745",
    since="0.1",
)
class ApproximationFunction(Layer):
    """Approximation of a hard decision: a steep sigmoid around the probability one half.

    A(p) = 1 / (1 + exp(-L (p - 0.5))), A'(p) = L A (1 - A), at most L / 4 at p = 0.5

    The authors' notebooks use L = 73, the largest integer for which A(1) is below one in float64;
    in float32 that is 33, and beyond it confidently wrong predictions get no gradient at all.

    Args:
        amplifying_scale: The steepness L.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any; probabilities.

    Output shape:
        The input's.

    Raises:
        ValueError: If the scale is not positive.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.losses import ApproximationFunction
        >>> a = ApproximationFunction()(ops.array([0.2, 0.5, 0.9]))
        >>> ops.convert_to_numpy(a).astype(float).round(4).tolist()
        [0.0474, 0.5, 0.982]

    References:
        Han, Moniz and Chawla, "AnyLoss: Transforming Classification Metrics into Loss Functions",
        arXiv:2405.14745.
    """

    def __init__(self, amplifying_scale: float = 10.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.amplifying_scale = checked_scale(amplifying_scale, self.compute_dtype)
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        """Approximate, in float32 at least."""
        return ops.cast(approximate(upcast(inputs), self.amplifying_scale), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Probabilities of a batch."""
        probabilities = TensorSpec((3, 4), low=0.0, high=1.0)
        yield Example(cls, {}, probabilities, traits=frozenset({"elementwise", "monotone"}))

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Scales that give no increasing step."""
        yield Rejection(cls, {"amplifying_scale": 0.0}, "amplifying_scale")
        yield Rejection(cls, {"amplifying_scale": float("nan")}, "amplifying_scale")
