"""Resampling of images with Pillow's filters, in Pillow's own arithmetic or in floating point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

# Pillow multiplies bytes by integers of this many fractional bits.
_BITS: Final = 32 - 8 - 2
_CUBIC: Final = -0.5


def _box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def _triangle(x: float) -> float:
    return max(0.0, 1.0 - abs(x))


def _cubic(x: float) -> float:
    x = abs(x)
    if x < 1.0:
        return ((_CUBIC + 2.0) * x - (_CUBIC + 3.0)) * x * x + 1.0
    return (((x - 5.0) * x + 8.0) * x - 4.0) * _CUBIC if x < 2.0 else 0.0


def _lanczos(x: float) -> float:
    if not -3.0 <= x < 3.0:
        return 0.0
    return _sinc(x) * _sinc(x / 3.0)


def _sinc(x: float) -> float:
    return 1.0 if x == 0.0 else math.sin(x * math.pi) / (x * math.pi)


FILTERS: Final[dict[str, tuple[Callable[[float], float], float]]] = {
    "box": (_box, 0.5),
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}
"""Name -> weight by distance, and the distance from which on it is zero."""


def resampling_matrix(
    old: int, new: int, filter: str = "bicubic", *, antialias: bool = True
) -> npt.NDArray[np.float64]:
    """The weights of old pixels in each new one, (new, old); each row sums to one.

    Args:
        old: Number of old pixels.
        new: Number of new pixels.
        filter: `"box"`, `"bilinear"`, `"bicubic"` (a = -0.5) or `"lanczos"`.
        antialias: Whether the filter grows with the step, as Pillow's does.

    Example:
        >>> resampling_matrix(4, 2, "bilinear").round(3).tolist()
        [[0.429, 0.429, 0.143, 0.0], [0.0, 0.143, 0.429, 0.429]]
    """
    weight, support = FILTERS[filter]
    step = old / new
    scale = max(step, 1.0) if antialias else 1.0
    matrix = np.zeros((new, old))
    for row in range(new):
        center = (row + 0.5) * step
        first = max(int(center - support * scale + 0.5), 0)
        last = min(int(center + support * scale + 0.5), old)
        weights = [weight((place - center + 0.5) / scale) for place in range(first, last)]
        total = math.fsum(weights)
        matrix[row, first:last] = np.array(weights) / (total or 1.0)
    return matrix


def resize(
    image: Any, size: tuple[int, int], filter: str = "bicubic", *, antialias: bool = True
) -> Floats:
    """Resize an image in floating point, with values kept between 0 and 255 in both passes.

    Args:
        image: (height, width, channels), of values that bytes have.
        size: New height and width.
        filter: As in `resampling_matrix`.
        antialias: As in `resampling_matrix`.

    Returns:
        The image in float64.
    """
    rows, columns = (
        resampling_matrix(o, n, filter, antialias=antialias)
        for o, n in zip(image.shape[:2], size, strict=True)
    )
    across = np.clip(np.einsum("hwc,nw->hnc", image.astype(np.float64), columns), 0.0, 255.0)
    result: Floats = np.clip(np.einsum("hwc,nh->nwc", across, rows), 0.0, 255.0)
    return result


def resize_bytes(image: npt.NDArray[np.uint8], size: tuple[int, int], filter: str) -> Any:
    """Resize an image of bytes exactly as Pillow does: columns first, rounded to bytes between.

    Args:
        image: (height, width, channels), uint8.
        size: New height and width.
        filter: As in `resampling_matrix`.

    Returns:
        The image, in uint8.
    """
    for axis in (1, 0):
        if image.shape[axis] != size[axis]:
            moved = np.moveaxis(image, axis, 0)
            matrix = _fixed_point(resampling_matrix(image.shape[axis], size[axis], filter))
            image = np.moveaxis(_weighted_sums(matrix, moved), 0, axis)
    return image


def _fixed_point(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    # As a C cast: towards zero, after half a unit was added away from it.
    scaled = matrix * (1 << _BITS)
    return np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int64)


def _weighted_sums(
    matrix: npt.NDArray[np.int64], image: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    result = np.empty((len(matrix), *image.shape[1:]), np.uint8)
    for row, weights in enumerate(matrix):
        places = np.flatnonzero(weights)
        window = slice(places[0], places[-1] + 1)
        total = np.tensordot(weights[window], image[window].astype(np.int64), axes=1)
        result[row] = np.clip((total + (1 << (_BITS - 1))) >> _BITS, 0, 255)
    return result
