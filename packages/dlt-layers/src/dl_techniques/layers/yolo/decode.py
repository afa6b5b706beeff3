"""From the detection head's logits to boxes and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from dl_techniques.core import Tensor, component, upcast
from dl_techniques.layers.arguments import require_integers
from dl_techniques.layers.yolo.levels import checked_strides


@component(
    "dl_techniques>decode_yolov12_detections",
    kind="function",
    tags=("detection", "vision", "yolo"),
    paper="arXiv:2502.12524",
    since="0.1",
)
def decode_yolov12_detections(
    predictions: Tensor,
    image_size: tuple[Any, Any],
    strides: Sequence[int] = (8, 16, 32),
    reg_max: int = 16,
) -> tuple[Tensor, Tensor]:
    """Turn the logits of `YOLOv12DetectionHead` into boxes in pixels and scores.

    The distance of a side from the centre (column + 1/2, row + 1/2) of its cell is
    sum_i i softmax(logits)_i cells, the box is (centre - (left, top), centre + (right, bottom))
    times the stride, and the scores are sigmoids. Everything is computed in float32.

    Args:
        predictions: `(batch, positions, 4 * reg_max + classes)`.
        image_size: Height and width of the image in pixels, numbers or scalar tensors; a level
            has them divided by its stride and rounded up.
        strides: Pixels for a step in each level.
        reg_max: Number of bins of a side's distance.

    Returns:
        The boxes `(batch, positions, 4)` as left, top, right, bottom, and the scores
        `(batch, positions, classes)`. Nothing is clipped to the image or suppressed.

    Raises:
        ValueError: If the shapes do not fit together.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import decode_yolov12_detections
        >>> logits = np.zeros((1, 2, 4 * 3 + 1), "float32")  # 3 bins: the mean distance is 1 cell
        >>> boxes, scores = decode_yolov12_detections(logits, (8, 16), strides=(8,), reg_max=3)
        >>> np.round(np.asarray(boxes), 3).tolist(), np.asarray(scores).ravel().tolist()
        ([[[-4.0, -4.0, 12.0, 12.0], [4.0, -4.0, 20.0, 12.0]]], [0.5, 0.5])

    References:
        Li et al., "Generalized Focal Loss", arXiv:2006.04388.
    """
    strides = checked_strides(strides)
    require_integers(reg_max=reg_max)
    predictions = ops.convert_to_tensor(predictions)
    if len(predictions.shape) != 3 or predictions.shape[-1] <= 4 * reg_max:
        raise ValueError(
            "`predictions` must be (batch, positions, 4 * reg_max + classes). "
            f"Received: predictions.shape={tuple(predictions.shape)}, reg_max={reg_max}"
        )
    centres, steps = cells(image_size, strides)
    if None not in (predictions.shape[1], centres.shape[0]) and (
        predictions.shape[1] != centres.shape[0]
    ):
        raise ValueError(
            "`predictions` must have one position for each cell of `image_size` at each of "
            f"`strides`, {centres.shape[0]} in all. Received: "
            f"predictions.shape={tuple(predictions.shape)}, image_size={image_size}, "
            f"strides={strides}"
        )
    logits = upcast(predictions)
    sides, classes = logits[..., : 4 * reg_max], logits[..., 4 * reg_max :]
    sides = ops.reshape(sides, (-1, ops.shape(logits)[1], 4, reg_max))
    bins = ops.cast(ops.arange(reg_max), sides.dtype)
    distances = ops.sum(ops.softmax(sides, axis=-1) * bins, axis=-1)
    corners = [centres - distances[..., :2], centres + distances[..., 2:]]
    return ops.concatenate(corners, axis=-1) * steps, ops.sigmoid(classes)


def cells(image_size: tuple[Any, Any], strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The cells of all levels, level after level, row after row.

    Args:
        image_size: Height and width of the image in pixels, numbers or scalar tensors.
        strides: Pixels for a step in each level.

    Returns:
        Their centres `(positions, 2)` as column and row, in cells, and their strides
        `(positions, 1)`.
    """
    centres, steps = [], []
    for stride in strides:
        height, width = (-(-size // stride) for size in image_size)
        row = ops.cast(ops.arange(height), "float32") + 0.5
        column = ops.cast(ops.arange(width), "float32") + 0.5
        columns, rows = ops.meshgrid(column, row)
        centre = ops.stack([ops.reshape(columns, (-1,)), ops.reshape(rows, (-1,))], axis=-1)
        centres.append(centre)
        steps.append(ops.full_like(centre[:, :1], stride))
    return ops.concatenate(centres, axis=0), ops.concatenate(steps, axis=0)
