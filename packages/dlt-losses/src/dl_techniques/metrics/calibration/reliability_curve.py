"""Reliability curve."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dl_techniques.core import component
from dl_techniques.losses.arguments import require_integers, require_one_of
from dl_techniques.metrics.calibration.inputs import (
    KINDS,
    STRATEGIES,
    Forecasts,
    bins_of,
    forecasts,
)


class ReliabilityCurve(NamedTuple):
    """Bins of a reliability diagram, as arrays of one entry a bin."""

    confidence: Any
    """Mean probability; NaN in an empty bin."""
    accuracy: Any
    """Share of events that happened; NaN in an empty bin."""
    count: Any
    """Number of forecasts."""
    lo: Any
    """Lower edge."""
    hi: Any
    """Upper edge."""


@component(
    "dl_techniques>reliability_curve",
    kind="function",
    tags=("calibration",),
    paper="arXiv:1706.04599",
    since="0.1",
)
def reliability_curve(
    y: Any,
    p: Any,
    bins: int = 15,
    kind: str = "top_label",
    strategy: str = "uniform",
    right: bool = True,
) -> ReliabilityCurve:
    """Reliability curve: how often what was predicted with confidence c happened.

    conf_b = mean of p in bin b, acc_b = share of events in bin b that happened

    All is computed in float64 on the CPU, since float32 edges move forecasts to other bins.

    Args:
        y: Labels: 0 and 1 `(samples,)` for one column; class numbers or columns for several.
        p: Probabilities `(samples,)`, `(samples, 1)` or `(samples, classes)`.
        bins: Number of bins.
        kind: `"top_label"`: forecasts of the predicted class; `"class_wise"`: those of every
            class, pooled. One column is the forecast of the positive class.
        strategy: `"uniform"`: bins of equal width; `"quantile"`: of nearly equal numbers of
            forecasts, in their order.
        right: Whether bins are (lo, hi], with 0 in the first, as in Guo et al.; or [lo, hi), with
            1 in the last, as in torchmetrics. Without effect on `"quantile"`.

    Returns:
        `confidence`, `accuracy`, `count`, `lo` and `hi`, one entry a bin.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.metrics import reliability_curve
        >>> curve = reliability_curve(np.array([0, 1, 1]), np.array([0.2, 0.4, 0.9]), bins=2)
        >>> curve.accuracy.tolist(), curve.count.tolist()
        ([0.5, 1.0], [2, 1])

    References:
        Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599.
    """
    require_integers(bins=bins)
    require_one_of(KINDS, kind=kind)
    require_one_of(STRATEGIES, strategy=strategy)
    judged = forecasts(y, p, kind)
    outcome = np.concatenate([f.outcome for f in judged])
    chances = np.concatenate([f.p for f in judged])
    return binned(Forecasts(outcome, chances), bins, strategy, right)


def binned(judged: Forecasts, bins: int, strategy: str, right: bool) -> ReliabilityCurve:
    """Return the curve of forecasts.

    Args:
        judged: Forecasts of one event.
        bins: Number of bins.
        strategy: See `reliability_curve`.
        right: See `reliability_curve`.
    """
    outcome, p = judged
    if strategy == "quantile":
        order = np.argsort(p, kind="stable")
        index = np.empty(len(p), int)
        index[order] = np.repeat(np.arange(bins), [len(c) for c in np.array_split(order, bins)])
        parts = [p[index == b] for b in range(bins)]
        lo = np.array([part.min(initial=np.inf) if len(part) else np.nan for part in parts])
        hi = np.array([part.max(initial=-np.inf) if len(part) else np.nan for part in parts])
    else:
        index = bins_of(p, bins, right)
        edges = np.linspace(0.0, 1.0, bins + 1)
        lo, hi = edges[:-1], edges[1:]
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(index, p, minlength=bins) / count
        accuracy = np.bincount(index, outcome, minlength=bins) / count
    return ReliabilityCurve(confidence, accuracy, count, lo, hi)
