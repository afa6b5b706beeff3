"""Assignment of objects to anchors."""

from __future__ import annotations

from typing import NamedTuple

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.losses.arguments import require_integers, require_nonnegative
from dl_techniques.losses.boxes.bbox_iou import overlap

_SMALLEST = 1e-9


class Assignment(NamedTuple):
    """Targets of each anchor."""

    scores: Tensor
    """Target score of each class, `(batch, anchors, classes)`."""
    boxes: Tensor
    """Corners of the assigned object, `(batch, anchors, 4)`; zero without one."""
    foreground: Tensor
    """1 where an object is assigned, `(batch, anchors)`."""


@component(
    "dl_techniques>task_aligned_assigner",
    kind="function",
    tags=("detection",),
    paper="arXiv:2108.07755",
    since="0.1",
)
def task_aligned_assigner(
    scores: Tensor,
    boxes: Tensor,
    anchors: Tensor,
    true_boxes: Tensor,
    true_classes: Tensor,
    topk: int = 10,
    alpha: float = 0.5,
    beta: float = 6.0,
    min_box_size: float | None = None,
    anchor_mask: Tensor | None = None,
) -> Assignment:
    """Task-aligned assigner: each object gets the anchors that classify and locate it best.

    m = s^alpha u^beta, with the score s of the object's class and the overlap u = max(0, CIoU),
    for anchors whose point lies inside of the object; the `topk` largest m are its anchors

    An anchor that several objects claim goes to the one that it overlaps most. The target score
    is m, scaled so that the largest m of an object becomes its largest u. All shapes are static and
    there is no gradient.

    Args:
        scores: Probabilities, `(batch, anchors, classes)`.
        boxes: Predicted corners in pixels, `(batch, anchors, 4)`.
        anchors: Points x, y in pixels, `(anchors, 2)`.
        true_boxes: Corners of objects, `(batch, objects, 4)`; one without area is padding.
        true_classes: Integers `(batch, objects)`; -1 is padding.
        topk: Largest number of anchors of an object.
        alpha: Exponent of the score; not negative.
        beta: Exponent of the overlap; not negative.
        min_box_size: Sides that smaller objects are enlarged to for the test of points inside;
            `None` leaves them as they are.
        anchor_mask: `(batch, anchors)`; anchors that may be assigned, or `None` for all.

    Returns:
        `scores`, `boxes` and `foreground`.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import task_aligned_assigner
        >>> anchors = np.array([[4.0, 4.0], [12.0, 4.0]])
        >>> predicted = np.array([[[0.0, 0.0, 8.0, 8.0], [8.0, 0.0, 16.0, 8.0]]])
        >>> object_, kind = np.array([[[0.0, 0.0, 8.0, 8.0]]]), np.array([[0]])
        >>> scores = np.full((1, 2, 1), 0.5)
        >>> found = task_aligned_assigner(scores, predicted, anchors, object_, kind)
        >>> np.array(found.foreground).tolist()
        [[1.0, 0.0]]

    References:
        Feng et al., "TOOD: Task-aligned One-stage Object Detection", arXiv:2108.07755.
    """
    require_integers(topk=topk)
    require_nonnegative(alpha=alpha, beta=beta)
    scores, boxes, anchors, true_boxes = (
        ops.stop_gradient(ops.cast(ops.convert_to_tensor(t), "float32"))
        for t in (scores, boxes, anchors, true_boxes)
    )
    classes = ops.cast(ops.convert_to_tensor(true_classes), "int32")
    sides = true_boxes[..., 2:] - true_boxes[..., :2]
    valid = ops.logical_and(ops.greater_equal(classes, 0), ops.all(ops.greater(sides, 0), axis=-1))
    # Unlike `one_hot`, whose backends differ in what they do with numbers out of range.
    kinds = ops.equal(classes[..., None], ops.arange(scores.shape[-1], dtype="int32"))
    kinds = ops.cast(kinds, "float32")
    inside = _inside(anchors, true_boxes, min_box_size)
    candidate = inside * ops.cast(valid, "float32")[..., None]
    if anchor_mask is not None:
        candidate = candidate * ops.cast(anchor_mask, "float32")[:, None, :]
    # (batch, objects, anchors) from here on.
    u = candidate * ops.relu(overlap(true_boxes[:, :, None], boxes[:, None], "ciou"))
    s = ops.matmul(kinds, ops.transpose(scores, (0, 2, 1)))
    m = candidate * s**alpha * u**beta
    positive = candidate * _largest(m, min(topk, m.shape[-1] or topk))
    positive = _settle(positive, u)
    m, u = m * positive, u * positive
    scale = ops.max(u, axis=-1, keepdims=True) / (ops.max(m, axis=-1, keepdims=True) + _SMALLEST)
    score = ops.max(m * scale, axis=1)
    by_anchor = ops.transpose(positive, (0, 2, 1))
    return Assignment(
        ops.stop_gradient(ops.matmul(by_anchor, kinds) * score[..., None]),
        ops.stop_gradient(ops.matmul(by_anchor, true_boxes)),
        ops.stop_gradient(ops.max(positive, axis=1)),
    )


def _inside(anchors: Tensor, true_boxes: Tensor, min_box_size: float | None) -> Tensor:
    """Return 1 where an anchor lies inside of an object."""
    low, high = true_boxes[..., :2], true_boxes[..., 2:]
    if min_box_size is not None:
        center, half = (low + high) / 2, ops.maximum(high - low, min_box_size) / 2
        low, high = center - half, center + half
    margins = ops.minimum(anchors - low[:, :, None], high[:, :, None] - anchors)
    return ops.cast(ops.greater(ops.min(margins, axis=-1), _SMALLEST), "float32")


def _largest(m: Tensor, k: int) -> Tensor:
    """Return 1 at the k largest entries of each row; of equal ones the first."""
    least = ops.top_k(m, k)[0][..., -1:]
    above = ops.cast(ops.greater(m, least), "float32")
    equal = ops.cast(ops.equal(m, least), "float32")
    left = k - ops.sum(above, axis=-1, keepdims=True)
    first = ops.cast(ops.less_equal(ops.cumsum(equal, axis=-1), left), "float32")
    return above + equal * first


def _settle(positive: Tensor, u: Tensor) -> Tensor:
    """Give an anchor of several objects to the candidate of largest overlap, claimed or not."""
    contested = ops.greater(ops.sum(positive, axis=1, keepdims=True), 1)
    winner = ops.equal(
        ops.cast(ops.arange(ops.shape(u)[1]), "int32")[None, :, None],
        ops.cast(ops.argmax(u, axis=1), "int32")[:, None, :],
    )
    return ops.where(contested, ops.cast(winner, "float32"), positive)
