"""Targets and weights of losses over a whole batch, brought into one form."""

from __future__ import annotations

from typing import NamedTuple

from keras import ops

from dl_techniques.core import Tensor
from dl_techniques.losses.masks import mask_of


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
    mask = mask_of(y_pred)
    p = ops.cast(ops.convert_to_tensor(y_pred), dtype)
    labels = ops.convert_to_tensor(y_true)
    if len(p.shape) == 0:
        raise ValueError("`y_pred` must have a batch axis. Received: y_pred of shape ()")
    if len(p.shape) == 1:
        p = ops.expand_dims(p, -1)
        labels = ops.expand_dims(labels, -1) if len(labels.shape) == 1 else labels
    y, counts = class_columns(labels, p, ignore_class)
    weight = counts
    for given in (sample_weight, mask):
        if given is not None:
            weight = weight * _broadcastable(ops.cast(given, dtype), len(p.shape))
    return Targets(y, p, weight)


def align_rows(
    y_true: Tensor,
    y_pred: Tensor,
    sample_weight: Tensor | None,
    *,
    dtype: str,
    ignore_class: int | None = None,
) -> Targets:
    """Bring labels, predictions and weights to one row a sample or position.

    Rows of weight zero get predictions of zero, so that not even NaN in them counts.

    Args:
        y_true: As for `align`.
        y_pred: As for `align`.
        sample_weight: `(batch,)`, up to one for each row, or `None`.
        dtype: The dtype of the computation.
        ignore_class: Samples with this label weigh nothing.

    Returns:
        Labels and predictions `(rows, classes)`, weights `(rows,)`.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y, p, weight = align(y_true, y_pred, sample_weight, dtype=dtype, ignore_class=ignore_class)
    if weight.shape[-1] != 1:
        raise ValueError(
            "`sample_weight` must hold one weight for each sample or position. "
            f"Received: y_pred of shape {tuple(p.shape)}, and a weight for each class"
        )
    weight = weight * ops.ones_like(p[..., :1])
    p = ops.where(ops.equal(weight, 0), ops.zeros_like(p), p)
    classes = p.shape[-1]
    return Targets(
        ops.reshape(y, (-1, classes)), ops.reshape(p, (-1, classes)), ops.reshape(weight, (-1,))
    )


def class_columns(labels: Tensor, p: Tensor, ignore_class: int | None) -> tuple[Tensor, Tensor]:
    """Return labels with one column for each class, and 1 where they count.

    Args:
        labels: Columns, or class numbers, of any dtype.
        p: Predictions `(..., classes)`.
        ignore_class: Samples with this label do not count.

    Raises:
        ValueError: If the shapes do not fit.
    """
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
