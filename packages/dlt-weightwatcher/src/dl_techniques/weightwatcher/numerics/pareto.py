"""The continuous power-law fit of Clauset, Shalizi and Newman, for many data sets at once.

For a start i among the ascending data x (candidate xmin = x_i, tail of m = n - i values):

    alpha_i = 1 + m / sum_{j >= i} ln(x_j / x_i)
    D_i     = max_{j >= i} |1 - (x_j / x_i)^(1 - alpha_i) - (j - i) / m|

and xmin is the x_i with the smallest D_i. All alphas cost O(n) by one suffix sum. All D cost
O(n^2), but only the smallest is wanted: the deviation at a few points of each tail bounds its D
from below, and candidates are visited in the order of that bound until it exceeds the best D.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array

_PROBES: Final = 24
_SHARES: Final = (np.arange(_PROBES) + 0.5) / _PROBES


class Tail(NamedTuple):
    """The best start of one data set."""

    start: int
    """Index of xmin in the ascending data."""
    alpha: float
    D: float


class Candidates(NamedTuple):
    """Every start of one data set, for choosing and for plots."""

    starts: Array
    """Indices into the ascending data, increasing."""
    alphas: Array
    distances: Array


def fit_tail(
    x: Array,
    *,
    min_tail: int = 2,
    bounds: tuple[float, float] | None = None,
    two_sided: bool = False,
) -> Tail | None:
    """Find the start of the power-law tail.

    Args:
        x: Positive numbers, ascending.
        min_tail: The fewest values that a tail may have.
        bounds: Lowest and highest value of xmin; by default all values are candidates.
        two_sided: Whether D also looks at the upper steps of the empirical distribution, as the
            Kolmogorov-Smirnov distance is defined. The reference looks at the lower ones only.

    Returns:
        The best start, or `None` if no start has a finite alpha.
    """
    d = depths(x)
    starts, alphas = possible_starts(d, x, min_tail, bounds)
    if not starts.size:
        return None
    bound = _lower_bounds(d, starts, alphas)
    return _visit(d, starts, alphas, bound, two_sided)


def all_candidates(x: Array, *, min_tail: int = 2, two_sided: bool = False) -> Candidates:
    """Alpha and D of every start, in O(n^2), for plots.

    Args:
        x: Positive numbers, ascending.
        min_tail: The fewest values that a tail may have.
        two_sided: See `fit_tail`.
    """
    d = depths(x)
    starts, alphas = possible_starts(d, x, min_tail, None)
    pairs = zip(starts.tolist(), alphas.tolist(), strict=True)
    distances = [distance(d, start, alpha, two_sided) for start, alpha in pairs]
    return Candidates(starts, alphas, np.asarray(distances))


def depths(x: Array) -> Array:
    """ln(max(x) / x): relative to the largest, so that sums over a tail do not cancel.

    Args:
        x: Positive numbers, ascending.
    """
    logs = np.log(x)
    return np.asarray(logs[-1] - logs if logs.size else logs)


def alpha_at(d: Array, start: int) -> float:
    """The maximum-likelihood exponent of the tail from `start` on; infinite for equal values.

    Args:
        d: The depths.
        start: Index of xmin.
    """
    tail = d[start:]
    total = float(np.sum(tail[0] - tail))
    return 1.0 + tail.size / total if total > 0 else np.inf


def distance(d: Array, start: int, alpha: float, two_sided: bool = False) -> float:
    """D of one start.

    Args:
        d: The depths.
        start: Index of xmin.
        alpha: The exponent.
        two_sided: See `fit_tail`.
    """
    tail = d[start:]
    m = tail.size
    # 1 - (x/xmin)^(1-alpha); expm1 keeps the digits near xmin.
    model = -np.expm1((1.0 - alpha) * (tail[0] - tail))
    deviation = model - np.arange(m) / m
    worst = max(float(deviation.max()), -float(deviation.min()))
    return max(worst, float((1.0 / m - deviation).max())) if two_sided else worst


def possible_starts(
    d: Array, x: Array, min_tail: int, bounds: tuple[float, float] | None
) -> tuple[Array, Array]:
    """The starts that may be chosen, and their exponents.

    Args:
        d: The depths.
        x: The values.
        min_tail: The fewest values that a tail may have.
        bounds: Lowest and highest value of xmin.
    """
    n = d.size
    last = n - max(min_tail, 2)
    if last < 0:
        return np.empty(0, np.intp), np.empty(0)
    starts = np.arange(last + 1)
    suffix = np.cumsum(d[::-1])[::-1][: last + 1]
    m = n - starts
    sums = m * d[: last + 1] - suffix
    # Of equal values only the first starts a tail: the others would leave out its equals.
    allowed = np.diff(d[: last + 1], prepend=np.inf) != 0
    # A sum below the rounding of its terms stands for equal values, whose alpha is infinite.
    allowed &= sums > 4e-16 * m * np.maximum(d[: last + 1], 1e-300) + 1e-300
    if bounds is not None:
        allowed &= (x[: last + 1] >= bounds[0]) & (x[: last + 1] <= bounds[1])
    starts = starts[allowed]
    return starts, 1.0 + m[allowed] / sums[allowed]


def _lower_bounds(d: Array, starts: Array, alphas: Array) -> Array:
    """The largest deviation at points spread over each tail: at most D."""
    m = d.size - starts
    offsets = (m[:, None] * _SHARES).astype(np.intp)
    rise = d[starts][:, None] - d[starts[:, None] + offsets]
    model = -np.expm1((1.0 - alphas)[:, None] * rise)
    return np.asarray(np.abs(model - offsets / m[:, None]).max(axis=1))


def _visit(d: Array, starts: Array, alphas: Array, bound: Array, two_sided: bool) -> Tail:
    best = Tail(-1, np.nan, np.inf)
    order = np.argsort(bound, kind="stable")
    for position in order.tolist():
        if bound[position] > best.D:
            break
        start, alpha = int(starts[position]), float(alphas[position])
        D = distance(d, start, alpha, two_sided)
        if D < best.D or (best.D == D and start < best.start):
            best = Tail(start, alpha, D)
    return best


def runner_up(x: Array, best: Tail, within: float) -> Tail | None:
    """Another start that fits almost as well, if there is one: the one whose alpha differs most.

    Args:
        x: Positive numbers, ascending.
        best: The best start.
        within: How much larger its D may be.
    """
    d = depths(x)
    starts, alphas = possible_starts(d, x, 2, None)
    bound = _lower_bounds(d, starts, alphas)
    rivals = []
    for place in np.flatnonzero((bound < best.D + within) & (starts != best.start)).tolist():
        rival = Tail(int(starts[place]), float(alphas[place]), 0.0)
        D = distance(d, rival.start, rival.alpha)
        if best.D + within > D:
            rivals.append(rival._replace(D=D))
    return max(rivals, key=lambda rival: abs(rival.alpha - best.alpha), default=None)
