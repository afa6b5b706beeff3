"""Uncertainty of alpha: bootstrap intervals and the goodness of fit.

Both choose xmin anew for every replica. The usual sigma = (alpha - 1) / sqrt(tail) does not know
that xmin was chosen, and on spectra that are no power laws it means nothing.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.pareto import Tail, fit_tail

_LEAST_TAIL: Final = 10
_TAIL_SHARE: Final = 0.25


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def bootstrap_alpha(
    x: Array,
    *,
    replicas: int,
    rng: np.random.Generator,
    min_tail: int = 2,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of alpha over resampled data.

    Args:
        x: Positive numbers, ascending.
        replicas: How many resamples.
        rng: Where randomness comes from.
        min_tail: The fewest values that a tail may have.
        bounds: Lowest and highest value of xmin.
        level: Coverage of the interval.
    """
    alphas = []
    for _ in range(replicas):
        picks = np.sort(rng.integers(0, x.size, x.size))
        tail = fit_tail(x[picks], min_tail=min_tail, bounds=bounds)
        if tail is not None:
            alphas.append(tail.alpha)
    if len(alphas) < 2:
        return Interval(math.nan, math.nan)
    outside = (1.0 - level) / 2
    low, high = np.quantile(alphas, [outside, 1.0 - outside])
    return Interval(float(low), float(high))


def least_tail(n: int, min_tail: int = 2) -> int:
    """The fewest values in a tail when the fit is put to the test.

    If xmin may climb into a handful of points the test has no power: anything passes there.

    Args:
        n: Number of values.
        min_tail: The minimum of the fit itself.
    """
    return max(min_tail, _LEAST_TAIL, math.ceil(_TAIL_SHARE * n))


def goodness_of_fit(
    x: Array, *, replicas: int, rng: np.random.Generator, min_tail: int = 2
) -> float:
    """p-value of the power law: the share of synthetic data sets that fit worse.

    Semi-parametric: below xmin the data is resampled, above it is drawn from the fitted law; each
    replica is fitted like the data. Below 0.1 the power law is usually rejected.

    Args:
        x: Positive numbers, ascending.
        replicas: How many synthetic data sets.
        rng: Where randomness comes from.
        min_tail: The fewest values that a tail may have; `least_tail` raises it.
    """
    n = x.size
    least = least_tail(n, min_tail)
    observed = fit_tail(x, min_tail=least)
    if observed is None:
        return math.nan
    worse = 0
    for _ in range(replicas):
        replica = fit_tail(_synthetic(x, observed, rng), min_tail=least)
        worse += replica is None or replica.D >= observed.D
    return worse / replicas


def _synthetic(x: Array, tail: Tail, rng: np.random.Generator) -> Array:
    n = x.size
    above = rng.binomial(n, (n - tail.start) / n) if tail.start else n
    body = x[rng.integers(0, tail.start, n - above)] if above < n else x[:0]
    law = x[tail.start] * (1.0 - rng.random(above)) ** (-1.0 / (tail.alpha - 1.0))
    return np.sort(np.concatenate([body, law]))
