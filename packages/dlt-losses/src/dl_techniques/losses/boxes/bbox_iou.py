"""Overlap of boxes."""

from __future__ import annotations

import math

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.losses.arguments import require_one_of, require_positive

KINDS = ("iou", "giou", "diou", "ciou")
FORMATS = ("xyxy", "xywh", "center_xywh")


@component(
    "dl_techniques>bbox_iou",
    kind="function",
    tags=("detection", "boxes"),
    paper="arXiv:1911.08287",
    since="0.1",
)
def bbox_iou(
    boxes1: Tensor,
    boxes2: Tensor,
    kind: str = "iou",
    format: str = "xyxy",
    pairwise: bool = True,
    epsilon: float = 1e-7,
) -> Tensor:
    """Overlap of boxes: intersection over union, or one of its generalizations.

    GIoU = IoU - (C - U) / C, with the union U and the area C of the box around both;
    DIoU = IoU - d^2 / c^2, with the distance d of the centers and the diagonal c of that box;
    CIoU = DIoU - a v, v = 4 / pi^2 (atan(w2 / h2) - atan(w1 / h1))^2, a = v / (1 - IoU + v)

    Differentiable, finite for boxes without area (their overlap is zero), of static shape. The
    factor a has no gradient, as in the paper.

    Args:
        boxes1: `(..., n, 4)`, floating.
        boxes2: `(..., m, 4)`; with `pairwise=False` of a shape that broadcasts with `boxes1`.
        kind: `"iou"`, `"giou"`, `"diou"` or `"ciou"`.
        format: `"xyxy"` (corners), `"xywh"` (left, top, width, height) or `"center_xywh"`.
        pairwise: Whether each box of `boxes1` is compared with each of `boxes2`.
        epsilon: Added to denominators.

    Returns:
        `(..., n, m)`, or the broadcast shape without its last axis.

    Raises:
        ValueError: If a setting is unknown, or the last axis is not 4.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import bbox_iou
        >>> a, b = np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0]])
        >>> round(float(bbox_iou(a, b)[0, 0]), 4), round(float(bbox_iou(a, b, "diou")[0, 0]), 4)
        (0.3333, 0.2564)

    References:
        Rezatofighi et al., "Generalized Intersection over Union", arXiv:1902.09630. Zheng et al.,
        "Distance-IoU Loss: Faster and Better Learning for Bounding Box Regression",
        arXiv:1911.08287.
    """
    require_one_of(KINDS, kind=kind)
    require_one_of(FORMATS, format=format)
    require_positive(epsilon=epsilon)
    first, second = (corners(ops.convert_to_tensor(b), format) for b in (boxes1, boxes2))
    if pairwise:
        first, second = ops.expand_dims(first, -2), ops.expand_dims(second, -3)
    return overlap(first, second, kind, epsilon)


def corners(boxes: Tensor, format: str) -> Tensor:
    """Return boxes as left, top, right, bottom.

    Args:
        boxes: `(..., 4)`.
        format: One of `FORMATS`.

    Raises:
        ValueError: If the last axis is not 4.
    """
    if boxes.shape[-1] != 4:
        raise ValueError(f"`boxes` must be (..., 4). Received: boxes of shape {tuple(boxes.shape)}")
    if format == "xyxy":
        return boxes
    start, size = boxes[..., :2], boxes[..., 2:]
    if format == "center_xywh":
        start = start - size / 2
    return ops.concatenate([start, start + size], axis=-1)


def overlap(first: Tensor, second: Tensor, kind: str, epsilon: float = 1e-7) -> Tensor:
    """Return the overlap of boxes that broadcast, without their last axis.

    Args:
        first: Corners, `(..., 4)`.
        second: Corners, `(..., 4)`.
        kind: One of `KINDS`.
        epsilon: Added to denominators.
    """
    low1, high1, low2, high2 = first[..., :2], first[..., 2:], second[..., :2], second[..., 2:]
    size1, size2 = ops.relu(high1 - low1), ops.relu(high2 - low2)
    shared = ops.relu(ops.minimum(high1, high2) - ops.maximum(low1, low2))
    intersection = shared[..., 0] * shared[..., 1]
    union = size1[..., 0] * size1[..., 1] + size2[..., 0] * size2[..., 1] - intersection
    iou = intersection / (union + epsilon)
    if kind == "iou":
        return iou
    around = ops.maximum(high1, high2) - ops.minimum(low1, low2)
    if kind == "giou":
        area = around[..., 0] * around[..., 1]
        return iou - (area - union) / (area + epsilon)
    diagonal = ops.sum(around * around, axis=-1) + epsilon
    gap = (low2 + high2 - low1 - high1) / 2
    diou = iou - ops.sum(gap * gap, axis=-1) / diagonal
    if kind == "diou":
        return diou
    angle1 = ops.arctan(size1[..., 0] / (size1[..., 1] + epsilon))
    angle2 = ops.arctan(size2[..., 0] / (size2[..., 1] + epsilon))
    v = 4 / math.pi**2 * (angle2 - angle1) ** 2
    a = ops.stop_gradient(v / (1.0 - iou + v + epsilon))
    return diou - a * v
