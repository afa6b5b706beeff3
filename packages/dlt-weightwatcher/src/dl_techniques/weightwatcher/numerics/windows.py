"""Subsampling at a fixed aspect ratio (FARMS): alpha that does not depend on the shape."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.shape import hill_alpha
from dl_techniques.weightwatcher.numerics.spectrum import spectrum, tall

_MOST: Final = 16


def windowed_hill_alpha(matrix: Any, ratio: float = 1.0) -> float:
    """The mean Hill alpha of windows of one aspect ratio, spread along the longer side.

    The Hill alpha of a random matrix rises with its aspect ratio (2.1 for a square, 5.8 for
    16 to 1), so that layers of different shapes cannot be compared by it; windows of one ratio
    can.

    Args:
        matrix: Two axes, in either orientation.
        ratio: Longer over shorter side of a window, at least 1.
    """
    turned = tall(matrix)
    N, M = turned.shape
    rows = min(N, max(1, round(M * ratio)))
    columns = M if rows >= M * ratio - 1 else max(1, int(rows / ratio))
    count = min(_MOST, max(1, math.ceil(N / rows)))
    starts = np.linspace(0, N - rows, count).astype(int)
    found = [_hill(turned[first : first + rows, :columns]) for first in starts]
    return float(np.mean(found))


def _hill(window: Array) -> float:
    return hill_alpha(spectrum(window[None]).evals[0])
