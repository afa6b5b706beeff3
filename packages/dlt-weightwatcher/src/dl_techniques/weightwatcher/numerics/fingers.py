"""Eigenvalues that stand out at the end of the tail and lengthen alpha ("fingers")."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.pareto import Tail, fit_tail

_FALL: Final = 1.0
_MOST: Final = 10


class Clipped(NamedTuple):
    """A fit after dropping the largest eigenvalues."""

    tail: Tail
    dropped: int


def clip_fingers(x: Array, first: Tail, *, min_tail: int = 2) -> Clipped:
    """Drop the largest 2, 3, ... up to ten values until alpha falls by more than one.

    Args:
        x: Positive numbers, ascending.
        first: The fit of all of them.
        min_tail: The fewest values that a tail may have.
    """
    for dropped in range(2, _MOST + 1):
        if x.size - dropped < max(min_tail, 2):
            break
        tail = fit_tail(x[:-dropped], min_tail=min_tail)
        if tail is not None and first.alpha - tail.alpha > _FALL:
            return Clipped(tail, dropped)
    return Clipped(first, 0)


def outlier_p_value(x: Array, tail: Tail, k: int = 1) -> float:
    """The dragon-king test: are the k largest values too large for the fitted tail?

    Under a power law the spacings of the ordered logarithms, times their ranks, are independent
    and exponential with one mean. The mean of the k largest against that of the others is then
    F-distributed with 2k and 2(m - 1 - k) degrees of freedom.

    Args:
        x: Positive numbers, ascending.
        tail: The fit.
        k: How many of the largest to test.

    Returns:
        The probability of spacings as large as these; NaN where the tail is too short.
    """
    from scipy.special import fdtrc

    logs = np.log(x[tail.start :])[::-1]
    spacings = -np.diff(logs) * np.arange(1, logs.size)
    if spacings.size <= k or spacings[k:].mean() <= 0:
        return float("nan")
    ratio = spacings[:k].mean() / spacings[k:].mean()
    return float(fdtrc(2 * k, 2 * (spacings.size - k), ratio))
