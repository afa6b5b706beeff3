"""Depths compared up to a scale and a shift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from keras import ops

from dl_techniques.core import (
    Example,
    Fraction,
    Loss,
    NonNegativeNumber,
    Rejection,
    Tensor,
    TensorSpec,
    component,
)

_LEAST_SCALE = 1e-6
_SCALES = 4


@component(
    "dl_techniques>AffineInvariantLoss",
    kind="loss",
    tags=("depth", "vision"),
    paper="arXiv:2401.10891",
    since="0.1",
)
class AffineInvariantLoss(Loss):
    """Affine-invariant loss of depths: compares maps up to the scale and shift of each.

    d' = (d - t) / s, t = median(d), s = mean |d - t|, L = mean |d' - d*'|

    Pixels whose target is not finite, such as holes of a sensor, count nowhere. With
    `gradient_weight`, differences between neighbours are compared as well, at four scales:
    L + w sum_k mean(|dx r_k| + |dy r_k|), r_k every 2^k-th pixel of r = d' - d*'.

    Args:
        gradient_weight: Weight w of the differences; 2 in Depth Anything V2.
        ignored_fraction: Part of the pixels with the largest errors that does not count; 0.1 for
            pseudo-labels in Depth Anything V2.
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the computation.

    Input shape:
        `y_true` and `y_pred`: `(batch, height, width)`.

    Output shape:
        `()`; `(batch,)` with `reduction=None`.

    Raises:
        ValueError: If an argument is out of range, or the shapes are not those of maps.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.depth_anything import AffineInvariantLoss
        >>> depth = np.arange(6.0).reshape(1, 2, 3)
        >>> round(float(AffineInvariantLoss()(depth, 5 - 3 * depth)), 3)
        2.0

    References:
        Yang et al., "Depth Anything", arXiv:2401.10891, and "Depth Anything V2",
        arXiv:2406.09414. Ranftl et al., "Towards Robust Monocular Depth Estimation",
        arXiv:1907.01341.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "masked_evaluation": "the axes after the batch are those of a map, compared as a whole"
    }

    def __init__(
        self,
        gradient_weight: NonNegativeNumber = 0.0,
        ignored_fraction: Fraction = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "affine_invariant_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if ignored_fraction == 1:
            raise ValueError("`ignored_fraction` must be below 1. Received: ignored_fraction=1")
        self.gradient_weight = gradient_weight
        self.ignored_fraction = ignored_fraction

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each map.

        Args:
            y_true: Depths; those that are not finite do not count.
            y_pred: Depths.
        """
        return self.of_pixels(y_true, y_pred, ops.isfinite(y_true))

    def of_pixels(self, y_true: Tensor, y_pred: Tensor, valid: Tensor) -> Tensor:
        """Return the loss of each map over some of its pixels.

        Args:
            y_true: (batch, height, width).
            y_pred: (batch, height, width).
            valid: Whether a pixel counts, (batch, height, width).

        Raises:
            ValueError: If the shapes are not those of maps.
        """
        if len(y_pred.shape) != 3 or len(y_true.shape) != 3:
            raise ValueError(
                "`y_true` and `y_pred` must be (batch, height, width). "
                f"Received: y_true of shape {tuple(y_true.shape)}, "
                f"y_pred of shape {tuple(y_pred.shape)}"
            )
        y_true = ops.where(valid, y_true, ops.zeros_like(y_true))
        residual = standardize(y_pred, valid) - standardize(y_true, valid)
        errors = ops.abs(residual)
        kept = valid
        if self.ignored_fraction:
            limit = _at(ops.stop_gradient(errors), valid, 1.0 - self.ignored_fraction)
            kept = ops.logical_and(valid, errors <= limit)
        loss = _mean(errors, kept)
        if self.gradient_weight:
            loss = loss + self.gradient_weight * _differences(residual, kept)
        return loss

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """As in version 1, and as in version 2."""
        maps = (TensorSpec((2, 4, 5)), TensorSpec((2, 4, 5)))
        yield Example(cls, {}, maps)
        yield Example(cls, {"gradient_weight": 2.0, "ignored_fraction": 0.1}, maps, name="v2")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Nothing that counts."""
        yield Rejection(cls, {"ignored_fraction": 1}, "ignored_fraction")


def standardize(depth: Tensor, valid: Tensor) -> Tensor:
    """Depths less their median, divided by the mean of what is left.

    Args:
        depth: (batch, height, width).
        valid: Which of them count.
    """
    centred = depth - _at(depth, valid, 0.5)
    scale = _mean(ops.abs(centred), valid)
    return centred / ops.maximum(scale, _LEAST_SCALE)[:, None, None]


def _mean(x: Tensor, valid: Tensor) -> Tensor:
    """The mean over the pixels that count; zero without any."""
    weight = ops.cast(valid, x.dtype)
    total = ops.sum(ops.where(valid, x, ops.zeros_like(x)), axis=(1, 2))
    return total / ops.maximum(ops.sum(weight, axis=(1, 2)), 1.0)


def _at(x: Tensor, valid: Tensor, part: float) -> Tensor:
    """The value below which a part of the pixels that count lies, (batch, 1, 1).

    It is the mean of two values where the place lies between them, as a median's may.
    """
    batch = ops.shape(x)[0]
    flat, counts = ops.reshape(x, (batch, -1)), ops.reshape(valid, (batch, -1))
    # What does not count comes last, and is never taken where anything counts.
    last = ops.max(ops.abs(flat), axis=1, keepdims=True) + 1.0
    ordered = ops.sort(ops.where(counts, flat, last), axis=1)
    number = ops.maximum(ops.sum(ops.cast(counts, "float32"), axis=1, keepdims=True), 1.0)
    place = part * (number - 1.0)
    lower, upper = (
        ops.take_along_axis(ordered, ops.cast(index, "int32"), axis=1)
        for index in (ops.floor(place), ops.ceil(place))
    )
    return ops.reshape(0.5 * (lower + upper), (batch, 1, 1))


def _differences(residual: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute differences between neighbours, summed over the scales."""
    total = ops.zeros_like(residual[:, 0, 0])
    weight = ops.cast(valid, residual.dtype)
    for k in range(_SCALES):
        r, w = (x[:, :: 2**k, :: 2**k] for x in (residual, weight))
        down = ops.abs(r[:, 1:] - r[:, :-1]) * w[:, 1:] * w[:, :-1]
        right = ops.abs(r[:, :, 1:] - r[:, :, :-1]) * w[:, :, 1:] * w[:, :, :-1]
        number = ops.maximum(ops.sum(w, axis=(1, 2)), 1.0)
        total = total + (ops.sum(down, axis=(1, 2)) + ops.sum(right, axis=(1, 2))) / number
    return total
