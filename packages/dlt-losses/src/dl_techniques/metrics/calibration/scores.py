"""Scores of probabilities over a whole data set."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from dl_techniques.core import component
from dl_techniques.losses.arguments import is_number, require_integers, require_one_of
from dl_techniques.metrics.calibration.inputs import bins_of, columns

_SCALES = ("sum", "half", "mean")


class BrierDecomposition(NamedTuple):
    """Parts of the Brier score: reliability - resolution + uncertainty + within_bin."""

    reliability: float
    """Squared distance of confidence and accuracy in bins; zero if calibrated."""
    resolution: float
    """Squared distance of the accuracies of bins from the base rate."""
    uncertainty: float
    """Variance of the outcome."""
    within_bin: float
    """Variance minus twice the covariance with outcomes of forecasts within bins."""


@component(
    "dl_techniques>brier_score",
    kind="function",
    tags=("calibration", "classification"),
    since="0.1",
)
def brier_score(y: Any, p: Any, scale: str = "sum") -> float:
    """Mean Brier score of a data set.

    B = 1 / N sum_i sum_k (p_ik - y_ik)^2; with one column 1 / N sum_i (p_i - y_i)^2

    Args:
        y: Labels: 0 and 1 for one column; class numbers or columns for several.
        p: Probabilities `(samples,)`, `(samples, 1)` or `(samples, classes)`.
        scale: `"sum"` over classes, `"half"` of it, or `"mean"`; see `BrierScoreLoss`.

    Returns:
        The score; zero is best.

    Raises:
        ValueError: If the scale is unknown, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.metrics import brier_score
        >>> round(brier_score(np.array([1, 0]), np.array([0.8, 0.4])), 3)
        0.1

    References:
        Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather
        Review 78, 1950.
    """
    require_one_of(_SCALES, scale=scale)
    labels, chances = columns(y, p)
    score = float(np.mean(np.sum((chances - labels) ** 2, axis=1)))
    classes = int(chances.shape[1])
    if classes == 1:
        return score
    divisors: dict[str, int] = {"sum": 1, "half": 2, "mean": classes}
    return score / divisors[scale]


@component(
    "dl_techniques>brier_decomposition",
    kind="function",
    tags=("calibration", "classification"),
    since="0.1",
)
def brier_decomposition(y: Any, p: Any, bins: int = 15) -> BrierDecomposition:
    """Brier score of one event, split into reliability, resolution and uncertainty.

    B = sum_b n_b / N (conf_b - acc_b)^2 - sum_b n_b / N (acc_b - r)^2 + r (1 - r) + W,
    with the base rate r

    W vanishes where forecasts are constant within bins; with it, the sum is exact.

    Args:
        y: 0 or 1, `(samples,)`.
        p: Probabilities, `(samples,)`.
        bins: Number of bins of equal width.

    Returns:
        `reliability`, `resolution`, `uncertainty` and `within_bin`.

    Raises:
        ValueError: If there is more than one column.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.metrics import brier_decomposition
        >>> parts = brier_decomposition(np.array([1, 0, 1, 1]), np.array([0.7, 0.3, 0.7, 0.3]))
        >>> [round(part, 4) for part in parts]
        [0.065, 0.0625, 0.1875, 0.0]

    References:
        Murphy, "A New Vector Partition of the Probability Score", Journal of Applied Meteorology
        12, 1973. Stephenson, Coelho and Jolliffe, "Two Extra Components in the Brier Score
        Decomposition", Weather and Forecasting 23, 2008.
    """
    require_integers(bins=bins)
    labels, chances = columns(y, p)
    if chances.shape[1] != 1:
        raise ValueError(f"`p` must be of one event. Received: p of shape {chances.shape}")
    outcome, chance = labels[:, 0], chances[:, 0]
    index = bins_of(chance, bins, right=True)
    count = np.maximum(np.bincount(index, minlength=bins), 1)
    confidence = (np.bincount(index, chance, minlength=bins) / count)[index]
    accuracy = (np.bincount(index, outcome, minlength=bins) / count)[index]
    rate = outcome.mean()
    spread = np.mean((chance - confidence) ** 2)
    covariance = np.mean((chance - confidence) * (outcome - accuracy))
    return BrierDecomposition(
        float(np.mean((confidence - accuracy) ** 2)),
        float(np.mean((accuracy - rate) ** 2)),
        float(rate * (1.0 - rate)),
        float(spread - 2.0 * covariance),
    )


@component(
    "dl_techniques>negative_log_likelihood",
    kind="function",
    tags=("calibration", "classification"),
    since="0.1",
)
def negative_log_likelihood(y: Any, p: Any, epsilon: float = 1e-12) -> float:
    """Mean negative log-likelihood of a data set, in nats.

    NLL = -1 / N sum_i log p_i(y_i)

    Args:
        y: Labels: 0 and 1 for one column; class numbers or columns for several.
        p: Probabilities `(samples,)`, `(samples, 1)` or `(samples, classes)`.
        epsilon: Smallest probability; smaller ones are raised to it.

    Returns:
        The likelihood; zero is best.

    Raises:
        ValueError: If `epsilon` is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.metrics import negative_log_likelihood
        >>> round(negative_log_likelihood(np.array([1, 0]), np.array([0.5, 0.5])), 4)
        0.6931

    References:
        Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599.
    """
    if not is_number(epsilon) or not 0 < epsilon < 1:
        raise ValueError(f"`epsilon` must be within (0, 1). Received: epsilon={epsilon!r}")
    labels, chances = columns(y, p)
    if chances.shape[1] == 1:
        labels = np.concatenate([1.0 - labels, labels], axis=1)
        chances = np.concatenate([1.0 - chances, chances], axis=1)
    return float(-np.mean(np.sum(labels * np.log(np.maximum(chances, epsilon)), axis=1)))


@component("dl_techniques>spiegelhalter_z", kind="function", tags=("calibration",), since="0.1")
def spiegelhalter_z(y: Any, p: Any, return_p_value: bool = False) -> float | tuple[float, float]:
    """Spiegelhalter's test statistic of the calibration of forecasts of one event.

    Z = sum_i (y_i - p_i) (1 - 2 p_i) / sqrt(sum_i (1 - 2 p_i)^2 p_i (1 - p_i))

    Standard normal if the forecasts are calibrated; far above zero if they are over-confident, far
    below if under-confident. Zero if all are 0.5, 0 or 1 and right.

    Args:
        y: 0 or 1, `(samples,)`.
        p: Probabilities, `(samples,)`.
        return_p_value: Whether to return the two-sided p-value, too.

    Returns:
        Z, or Z and its p-value.

    Raises:
        ValueError: If there is more than one column.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.metrics import spiegelhalter_z
        >>> y, p = np.array([0, 1, 1, 0, 1]), np.array([0.1, 0.3, 0.8, 0.6, 0.95])
        >>> round(spiegelhalter_z(y, p), 4)
        0.3493

    References:
        Spiegelhalter, "Probabilistic prediction in patient management and clinical trials",
        Statistics in Medicine 5, 1986, doi:10.1002/sim.4780050506.
    """
    labels, chances = columns(y, p)
    if chances.shape[1] != 1:
        raise ValueError(f"`p` must be of one event. Received: p of shape {chances.shape}")
    excess = np.sum((labels - chances) * (1.0 - 2.0 * chances))
    variance = np.sum((1.0 - 2.0 * chances) ** 2 * chances * (1.0 - chances))
    # A certain forecast that was wrong is infinitely surprising.
    z = float(excess / np.sqrt(variance)) if variance > 0 else math.copysign(math.inf, excess)
    z = 0.0 if excess == 0 else z
    return (z, math.erfc(abs(z) / math.sqrt(2.0))) if return_p_value else z
