"""Expected, maximum and adaptive calibration errors of a whole data set."""

from __future__ import annotations

from typing import Any

import numpy as np

from dl_techniques.core import component
from dl_techniques.losses.arguments import require_integers, require_one_of
from dl_techniques.metrics.calibration.inputs import KINDS, NORMS, STRATEGIES, Forecasts, forecasts
from dl_techniques.metrics.calibration.reliability_curve import binned


@component(
    "dl_techniques>expected_calibration_error",
    kind="function",
    tags=("calibration",),
    paper="arXiv:1706.04599",
    since="0.1",
)
def expected_calibration_error(
    y: Any,
    p: Any,
    bins: int = 15,
    norm: str = "l1",
    kind: str = "top_label",
    strategy: str = "uniform",
    right: bool = True,
) -> float:
    """Calibration error: distance between confidence and accuracy over bins of confidence.

    l1 (ECE): sum_b n_b / N |acc_b - conf_b|; l2: the root of sum_b n_b / N (acc_b - conf_b)^2;
    max (MCE): the largest |acc_b - conf_b| of a bin that is not empty

    Args:
        y: Labels; see `reliability_curve`.
        p: Probabilities; see `reliability_curve`.
        bins: Number of bins.
        norm: `"l1"`, `"l2"` or `"max"`.
        kind: `"top_label"`, or `"class_wise"` for the mean error over classes.
        strategy: `"uniform"` or `"quantile"` bins.
        right: Whether bins are (lo, hi] or [lo, hi).

    Returns:
        The error, from 0 to 1.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.metrics import expected_calibration_error
        >>> p = np.array([0, 0.1, 0.2, 0.3, 0.5, 1, 1, 0.7])
        >>> y = np.array([0, 0, 1, 0, 1, 1, 0, 1])
        >>> round(expected_calibration_error(y, p, bins=10), 3)
        0.375

    References:
        Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599. Kumar, Liang and
        Ma, "Verified Uncertainty Calibration", arXiv:1909.10155.
    """
    require_integers(bins=bins)
    require_one_of(NORMS, norm=norm)
    require_one_of(KINDS, kind=kind)
    require_one_of(STRATEGIES, strategy=strategy)
    errors = [_error(f, bins, norm, strategy, right) for f in forecasts(y, p, kind)]
    return float(np.mean(errors))


@component(
    "dl_techniques>adaptive_calibration_error",
    kind="function",
    tags=("calibration",),
    paper="arXiv:1904.01685",
    since="0.1",
)
def adaptive_calibration_error(y: Any, p: Any, bins: int = 15, kind: str = "class_wise") -> float:
    """Adaptive calibration error: the mean gap over bins of equally many forecasts.

    ACE = 1 / (K B) sum_k sum_b |acc_kb - conf_kb|, with bins of equal mass for each class k

    `netcal.metrics.ACE` is another one: the average calibration error over bins of equal width.

    Args:
        y: Labels; see `reliability_curve`.
        p: Probabilities; see `reliability_curve`.
        bins: Number of bins; those beyond the number of samples stay empty and do not count.
        kind: `"class_wise"` as in the paper, or `"top_label"`.

    Returns:
        The error, from 0 to 1.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.metrics import adaptive_calibration_error
        >>> p, y = np.array([0.1, 0.3, 0.6, 0.8]), np.array([0, 1, 1, 1])
        >>> round(adaptive_calibration_error(y, p, bins=2), 3)
        0.3

    References:
        Nixon et al., "Measuring Calibration in Deep Learning", arXiv:1904.01685.
    """
    require_integers(bins=bins)
    require_one_of(KINDS, kind=kind)
    gaps = []
    for judged in forecasts(y, p, kind):
        curve = binned(judged, bins, "quantile", right=True)
        gaps.append(np.nanmean(np.abs(curve.accuracy - curve.confidence)))
    return float(np.mean(gaps))


def _error(judged: Forecasts, bins: int, norm: str, strategy: str, right: bool) -> float:
    curve = binned(judged, bins, strategy, right)
    used = curve.count > 0
    gaps = np.abs(curve.accuracy - curve.confidence)[used]
    share = curve.count[used] / curve.count.sum()
    if norm == "max":
        return float(gaps.max())
    return float((share @ gaps) if norm == "l1" else np.sqrt(share @ gaps**2))
