"""Quantiles of mixtures of normal distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from dl_techniques.layers.probabilistic.mixtures import split_mixture

_STEPS = 60
# No quantile of float64 lies farther from its component's mean.
_DEVIATIONS = 40.0


def mixture_quantile(
    params: Any, levels: Sequence[float], num_mixtures: int, output_dimension: int
) -> Any:
    """Quantiles of each target's marginal distribution, by bisection of its CDF in float64.

    Args:
        params: `(batch, K (2 D + 1))`, as `MDNLayer` gives them.
        levels: Levels between 0 and 1.
        num_mixtures: K.
        output_dimension: D.

    Returns:
        A NumPy array `(batch, D, levels)` of the dtype of `params`.

    Raises:
        ValueError: If a level is not between 0 and 1.
    """
    wanted = np.asarray(levels, "float64").reshape(-1)
    if not (np.all(wanted > 0) and np.all(wanted < 1)):
        raise ValueError(f"`levels` must be between 0 and 1. Received: levels={levels}")
    parts = split_mixture(params, num_mixtures, output_dimension)
    means, deviations, logits = (
        np.asarray(ops.convert_to_numpy(part), "float64") for part in parts
    )
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights = (weights / weights.sum(-1, keepdims=True))[..., None, None]  # (batch, K, 1, 1)
    means, deviations = means[..., None], deviations[..., None]  # (batch, K, D, 1)
    shape = (len(means), output_dimension, len(wanted))
    low = np.broadcast_to((means - _DEVIATIONS * deviations).min(1), shape)
    high = np.broadcast_to((means + _DEVIATIONS * deviations).max(1), shape)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        z = (middle[:, None] - means) / (math.sqrt(2) * deviations)
        below = (weights * 0.5 * _erfc(-z)).sum(1) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return ((low + high) / 2).astype(ops.convert_to_numpy(params).dtype)


_erfc = np.vectorize(math.erfc, otypes=["float64"])
