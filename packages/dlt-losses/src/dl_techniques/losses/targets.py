"""Targets and weights of losses over a whole batch, brought into one form."""

from __future__ import annotations

from typing import NamedTuple

from keras import ops

from dl_techniques.core import Tensor


class Targets(NamedTuple):
    """One row a sample (or position), one column a class."""

    y: Tensor
    """1 where the class is present; `(..., classes)`."""
    p: Tensor
    """What was predicted; `(..., classes)`."""
    weight: Tensor
    """How much each entry counts; broadcasts against the others."""


def align(
    y_true: Tensor,
    y_pred: Tensor,
    sample_weight: Tensor | None,
    *,
    dtype: str,
    ignore_class: int | None,
) -> Targets:
    """Bring labels, predictions and weights to one rank.

    A loss of a whole batch must use the weights inside: Keras would multiply its scalar by the
    vector of weights and average, which gives no error and means nothing. So a batch-level loss
    overrides `__call__` and begins here.

    Args:
        y_true: Labels `(..., classes)`, 0 or 1 or between; or class numbers `(...)` or `(..., 1)`
            where there are several classes. Both have the samples and positions of `y_pred`.
        y_pred: Predictions `(..., classes)`; for one class the last axis may be missing.
        sample_weight: `(batch,)`, up to one for each entry of `y_pred`, or `None`.
        dtype: In which the loss is computed.
        ignore_class: Samples with this label weigh nothing.

    Raises:
        ValueError: If the shapes do not fit.
    """
    # Keras attaches the mask of a layer's output to the tensor, and reads it in `Loss.__call__`.
    mask = getattr(y_pred, "_keras_mask", None)
    p = ops.cast(ops.convert_to_tensor(y_pred), dtype)
    labels = ops.convert_to_tensor(y_true)
    if len(p.shape) == 0:
        raise ValueError("`y_pred` must have a batch axis. Received: a scalar")
    if len(p.shape) == 1:
        p = ops.expand_dims(p, -1)
        labels = ops.expand_dims(labels, -1) if len(labels.shape) == 1 else labels
    y, counts = _labels(labels, p, ignore_class)
    weight = counts
    for given in (sample_weight, mask):
        if given is not None:
            weight = weight * _broadcastable(ops.cast(given, dtype), len(p.shape))
    return Targets(y, p, weight)


def _labels(labels: Tensor, p: Tensor, ignore_class: int | None) -> tuple[Tensor, Tensor]:
    """Labels with one column a class, and 1 where they count."""
    classes = p.shape[-1]
    if len(labels.shape) == len(p.shape) - 1:
        labels = ops.expand_dims(labels, -1)
    _require_fitting(labels, p)
    numbered = labels.shape[-1] != classes
    ignored = ops.zeros_like(p[..., :1], dtype="bool")
    if ignore_class is not None:
        if numbered or classes == 1:
            ignored = ops.equal(ops.cast(labels, p.dtype), ignore_class)
        elif 0 <= ignore_class < classes:
            ignored = ops.greater(labels[..., ignore_class : ignore_class + 1], 0)
    labels = ops.cast(ops.where(ignored, ops.zeros_like(labels), labels), p.dtype)
    if numbered:
        # Unlike `one_hot`, whose backends differ in what they do with numbers out of range.
        labels = ops.cast(ops.equal(labels, ops.arange(classes, dtype=p.dtype)), p.dtype)
    return labels, ops.cast(ops.logical_not(ignored), p.dtype)


def _require_fitting(labels: Tensor, p: Tensor) -> None:
    """Samples and positions must be the same: backends would stretch an axis of size one."""
    fits = len(labels.shape) == len(p.shape) and labels.shape[-1] in {1, p.shape[-1]}
    pairs = zip(labels.shape[:-1], p.shape[:-1], strict=False)
    if not fits or any(None not in pair and pair[0] != pair[1] for pair in pairs):
        raise ValueError(
            "`y_true` must have one column for each class, or hold the number of the class. "
            f"Received: y_true of shape {tuple(labels.shape)}, y_pred of shape {tuple(p.shape)}"
        )


def _broadcastable(weight: Tensor, rank: int) -> Tensor:
    missing = rank - len(weight.shape)
    if missing < 0:
        raise ValueError(
            "`sample_weight` must not have more axes than `y_pred`. "
            f"Received: sample_weight of shape {tuple(weight.shape)}"
        )
    return ops.expand_dims(weight, tuple(range(rank - missing, rank))) if missing else weight
