"""Anchor points of a detection head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def anchor_points(input_shape: Sequence[int], strides: Sequence[int]) -> tuple[Any, Any]:
    """Return the centers of all cells, in cells, and their strides.

    Levels follow each other; the cells of a level run along rows.

    Args:
        input_shape: Height and width of the images in pixels.
        strides: Pixels of a cell of each level.

    Returns:
        `(anchors, 2)` as x and y, and `(anchors, 1)`, in float32.
    """
    height, width = input_shape
    points, sizes = [], []
    for stride in strides:
        y, x = np.mgrid[: height // stride, : width // stride]
        points.append(np.stack([x.ravel(), y.ravel()], axis=-1) + 0.5)
        sizes.append(np.full((x.size, 1), stride))
    return np.concatenate(points).astype("float32"), np.concatenate(sizes).astype("float32")
