"""Intervals that are calibrated on samples which the model was not fitted to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def conformal_margin(low: Any, high: Any, y: Any, coverage: float) -> Any:
    """Return how much to add at both ends of intervals, `(D,)`; negative if they are too wide.

    The ceil((n + 1) coverage)-th smallest of max(low - y, y - high)

    Args:
        low: Lower ends of n calibration samples, `(n, D)`.
        high: Upper ends, `(n, D)`.
        y: Their targets, `(n, D)`.
        coverage: Probability that a further target lies inside.

    Raises:
        ValueError: If there are too few samples for the coverage.
    """
    count = len(y)
    # Not by a rounding above a whole number.
    rank = math.ceil((count + 1) * coverage - 1e-9)
    if rank > count:
        raise ValueError(
            f"`calibration` must hold at least {math.ceil(coverage / (1 - coverage) - 1e-9)} "
            f"samples for coverage={coverage:g}. Received: {count}"
        )
    outside = np.maximum(low - y, y - high)
    return np.sort(outside, axis=0)[rank - 1]
