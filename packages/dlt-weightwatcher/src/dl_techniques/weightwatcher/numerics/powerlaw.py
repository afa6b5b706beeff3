"""One tail fit with everything that was asked of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.fingers import clip_fingers, outlier_p_value
from dl_techniques.weightwatcher.numerics.pareto import Tail, fit_tail
from dl_techniques.weightwatcher.numerics.uncertainty import (
    Interval,
    bootstrap_alpha,
    goodness_of_fit,
)

SMALL_SAMPLE: Final = 20
SMALL_TAIL: Final = 10
_PEAK_WINDOW: Final = (0.95, 1.5)


@dataclass(frozen=True)
class PowerLawFit:
    """A fitted tail.

    Attributes:
        alpha: The exponent; NaN if nothing could be fitted.
        xmin: Where the tail begins.
        xmax: The largest value that was fitted.
        D: Largest distance of the empirical from the fitted distribution.
        sigma: (alpha - 1) / sqrt(n_tail): the error of alpha if xmin were known.
        n_tail: How many values lie in the tail.
        ci: Bootstrap interval of alpha (95 %), if asked for.
        p_value: Goodness of fit, if asked for; below 0.1 a power law is usually rejected.
        status: `ok`, `small` (fewer than 20 values or 10 in the tail), `degenerate` or `failed`.
        Lambda: Rate of the exponential cutoff of a truncated power law.
        law: The best of four laws on the tail, if asked for.
        extras: Further numbers of the options that were asked for.
    """

    alpha: float = math.nan
    xmin: float = math.nan
    xmax: float = math.nan
    D: float = math.nan
    sigma: float = math.nan
    n_tail: int = 0
    ci: tuple[float, float] = (math.nan, math.nan)
    p_value: float = math.nan
    status: str = "failed"
    Lambda: float = math.nan
    law: str | None = None
    extras: tuple[tuple[str, float], ...] = ()


def fit(
    evals: Array,
    *,
    distribution: str = "PL",
    xmin: Any = None,
    xmax: int | float | None = None,
    min_tail: int = 2,
    two_sided: bool = False,
    fingers: str | None = None,
    bootstrap: int = 0,
    gof: int = 0,
    rng: np.random.Generator,
) -> PowerLawFit:
    """Fit the tail of ascending positive values.

    Args:
        evals: Positive values, ascending.
        distribution: `PL`, `TPL`, `E_TPL` or `best`.
        xmin: None, `"peak"`, a number or a pair.
        xmax: How many of the largest to drop (integer), or the largest value to keep (float).
        min_tail: The fewest values that a tail may have.
        two_sided: Whether D looks at both steps of the empirical distribution.
        fingers: None, `"clip"` or `"test"`.
        bootstrap: Replicas of the interval.
        gof: Replicas of the goodness of fit.
        rng: Where randomness comes from.
    """
    x = _below(evals, xmax)
    if x.size < 2 or not x[-1] > x[0]:
        return PowerLawFit(status="degenerate" if x.size else "failed")
    bounds = _bounds(x, "peak" if distribution == "E_TPL" else xmin)
    tail = fit_tail(x, min_tail=min_tail, bounds=bounds, two_sided=two_sided)
    if tail is None:
        return PowerLawFit(status="failed")
    extras: list[tuple[str, float]] = []
    if fingers == "clip":
        clipped = clip_fingers(x, tail, min_tail=min_tail)
        extras += [("raw_alpha", tail.alpha), ("num_fingers", float(clipped.dropped))]
        x, tail = x[: x.size - clipped.dropped], clipped.tail
    elif fingers == "test":
        extras.append(("outlier_p", outlier_p_value(x, tail)))
    alpha, start, D, rate = tail.alpha, tail.start, tail.D, math.nan
    if distribution != "PL":
        # With it comes scipy.special, which a plain fit does not need.
        from dl_techniques.weightwatcher.numerics import tail_models
    if distribution in {"TPL", "E_TPL"}:
        truncated = tail_models.fit_truncated(x, min_tail=min_tail, bounds=bounds)
        if truncated is None:
            return PowerLawFit(status="failed")
        alpha, start, D = truncated.alpha, truncated.start, truncated.D
        rate = truncated.Lambda
        power, cut = (tail_models.log_densities(x, start, law) for law in ("PL", "TPL"))
        verdict = tail_models.compare(power, cut, nested=True)
        extras += [("tpl_ratio", -verdict.ratio), ("tpl_p", verdict.p_value)]
    m = x.size - start
    interval = Interval(math.nan, math.nan)
    if bootstrap:
        interval = bootstrap_alpha(x, replicas=bootstrap, rng=rng, min_tail=min_tail, bounds=bounds)
    p_value = goodness_of_fit(x, replicas=gof, rng=rng, min_tail=min_tail) if gof else math.nan
    return PowerLawFit(
        alpha,
        float(x[start]),
        float(x[-1]),
        D,
        abs(alpha - 1) / math.sqrt(m),
        m,
        (interval.low, interval.high),
        p_value,
        "small" if x.size < SMALL_SAMPLE or m < SMALL_TAIL else "ok",
        rate,
        tail_models.best_law(x, tail.start) if distribution == "best" and m > 2 else None,
        tuple(extras),
    )


def tail_of(evals: Array, fitted: PowerLawFit) -> Tail:
    """The fit as an index into the values.

    Args:
        evals: Positive values, ascending.
        fitted: The fit of these.
    """
    return Tail(int(np.searchsorted(evals, fitted.xmin)), fitted.alpha, fitted.D)


def peak(x: Array) -> float:
    """The mode of the density of log10 x, from a histogram of 100 bins.

    Args:
        x: Positive values.
    """
    counts, bins = np.histogram(np.log10(x), bins=100)
    place = int(counts.argmax())
    return float(10 ** ((bins[place] + bins[place + 1]) / 2))


def _below(x: Array, xmax: int | float | None) -> Array:
    if xmax is None:
        return x
    if isinstance(xmax, int):
        return x[: max(0, x.size - xmax)]
    return x[x <= xmax]


def _bounds(x: Array, xmin: Any) -> tuple[float, float] | None:
    if xmin is None:
        return None
    if xmin == "peak":
        mode = peak(x)
        return _PEAK_WINDOW[0] * mode, _PEAK_WINDOW[1] * mode
    if isinstance(xmin, tuple | list):
        return float(xmin[0]), float(xmin[1])
    # A number is where the tail begins: at the first value that is not below it.
    above = x[x >= xmin]
    return (float(above[0]), float(above[0])) if above.size else (math.inf, math.inf)
