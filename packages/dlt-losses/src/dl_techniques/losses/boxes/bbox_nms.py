"""Suppression of boxes that overlap a better one."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.losses.arguments import require_fractions, require_integers
from dl_techniques.losses.boxes.bbox_iou import overlap


class Kept(NamedTuple):
    """Boxes that were kept, best first."""

    indices: Tensor
    """Their positions, `(..., max_outputs)`; 0 where there is none."""
    valid: Tensor
    """Whether there is one, `(..., max_outputs)`."""


@component("dl_techniques>bbox_nms", kind="function", tags=("detection", "boxes"), since="0.1")
def bbox_nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float = 0.5,
    max_outputs: int = 100,
    score_threshold: float | None = None,
    class_ids: Tensor | None = None,
) -> Kept:
    """Non-maximum suppression: of boxes that overlap, only the best one stays.

    The best box stays, those whose IoU with it is above the threshold go, and so on. Of equal
    scores the first counts as the better. Shapes are static, so that it can be compiled; it takes
    O(max_outputs boxes) operations. `indices[valid]` has the variable length.

    Args:
        boxes: Corners `(boxes, 4)`, or `(batch, boxes, 4)`.
        scores: `(boxes,)` or `(batch, boxes)`. A box with the score NaN is never kept.
        iou_threshold: From 0 to 1; a box of exactly this overlap stays.
        max_outputs: The largest number of boxes to keep.
        score_threshold: Only boxes with a score above it are kept; `None` for all.
        class_ids: Integers of the shape of `scores`; boxes of different classes do not suppress
            each other.

    Returns:
        `indices` and `valid`, `(max_outputs,)` or `(batch, max_outputs)`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import bbox_nms
        >>> boxes = np.array([[0.0, 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6]])
        >>> kept = bbox_nms(boxes, np.array([0.8, 0.9, 0.3]), max_outputs=3)
        >>> np.array(kept.indices)[np.array(kept.valid)].tolist()
        [1, 2]

    References:
        Neubeck and Van Gool, "Efficient Non-Maximum Suppression", International Conference on
        Pattern Recognition, 2006, doi:10.1109/ICPR.2006.479.
    """
    require_fractions(iou_threshold=iou_threshold)
    require_integers(max_outputs=max_outputs)
    boxes, scores = ops.convert_to_tensor(boxes), ops.convert_to_tensor(scores)
    if boxes.shape[-1] != 4 or len(boxes.shape) not in {2, 3}:
        raise ValueError(
            "`boxes` must be (boxes, 4) or (batch, boxes, 4). "
            f"Received: boxes of shape {tuple(boxes.shape)}"
        )
    if len(scores.shape) != len(boxes.shape) - 1:
        raise ValueError(
            "`scores` must have one number for each box. Received: boxes of shape "
            f"{tuple(boxes.shape)}, scores of shape {tuple(scores.shape)}"
        )
    if len(boxes.shape) == 2:
        ids = None if class_ids is None else ops.convert_to_tensor(class_ids)[None]
        kept = _suppress(
            boxes[None], scores[None], iou_threshold, max_outputs, score_threshold, ids
        )
        return Kept(kept.indices[0], kept.valid[0])
    ids = None if class_ids is None else ops.convert_to_tensor(class_ids)
    return _suppress(boxes, scores, iou_threshold, max_outputs, score_threshold, ids)


def _suppress(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    max_outputs: int,
    score_threshold: float | None,
    class_ids: Tensor | None,
) -> Kept:
    never = float("-inf")
    least = never if score_threshold is None else score_threshold
    # A comparison with NaN is false.
    alive = ops.where(ops.greater(scores, least), scores, ops.full_like(scores, never))
    positions = ops.cast(ops.arange(ops.shape(scores)[1]), "int32")[None]
    slots = ops.cast(ops.arange(max_outputs), "int32")[None]
    last = ops.shape(scores)[1] - 1

    def step(i: Any, state: Any) -> Any:
        alive, indices, valid = state
        best = ops.max(alive, axis=1, keepdims=True)
        found = ops.greater(best, never)
        # The first of equals on every backend.
        first = ops.min(ops.where(ops.equal(alive, best), positions, last), axis=1, keepdims=True)
        chosen = ops.take_along_axis(boxes, first[:, :, None], axis=1)
        gone = ops.greater(overlap(chosen, boxes, "iou"), iou_threshold)
        if class_ids is not None:
            own = ops.take_along_axis(class_ids, first, axis=1)
            gone = ops.logical_and(gone, ops.equal(class_ids, own))
        gone = ops.logical_or(gone, ops.equal(positions, first))
        here = ops.logical_and(ops.equal(slots, i), found)
        alive = ops.where(gone, ops.full_like(alive, never), alive)
        return alive, ops.where(here, first, indices), ops.logical_or(valid, here)

    empty = ops.zeros_like(alive[:, :1]) * ops.zeros((1, max_outputs), alive.dtype)
    empty = ops.where(ops.isnan(empty), ops.zeros_like(empty), empty)
    state = (alive, ops.cast(empty, "int32"), ops.cast(empty, "bool"))
    _, indices, valid = ops.fori_loop(0, max_outputs, step, state)
    return Kept(indices, valid)
