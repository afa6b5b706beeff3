"""Labels and probabilities of calibration metrics as arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from dl_techniques.core import Tensor

NORMS = ("l1", "l2", "max")
KINDS = ("top_label", "class_wise")
STRATEGIES = ("uniform", "quantile")


class Forecasts(NamedTuple):
    """Forecasts of one event: how likely it seemed, and whether it happened."""

    outcome: Any
    """0 or 1; `(samples,)`."""
    p: Any
    """Probabilities, `(samples,)`."""


def columns(y: Any, p: Any) -> tuple[Any, Any]:
    """Return labels and probabilities in float64, `(samples, classes)` both.

    Args:
        y: Labels 0 and 1 `(samples,)` for one column; columns, or class numbers for several.
        p: Probabilities `(samples,)` or `(samples, classes)`.

    Raises:
        ValueError: If the shapes do not fit, or `p` holds no probabilities.
    """
    chances = np.asarray(ops.convert_to_numpy(p), "float64")
    labels = np.asarray(ops.convert_to_numpy(y))
    chances = chances[:, None] if chances.ndim == 1 else chances
    if chances.ndim != 2 or not chances.size:
        raise ValueError(
            "`p` must be probabilities (samples,) or (samples, classes). "
            f"Received: p of shape {chances.shape}"
        )
    if not ((chances >= 0) & (chances <= 1)).all():
        raise ValueError(
            "`p` must be probabilities from 0 to 1. "
            f"Received: p from {chances.min()} to {chances.max()}"
        )
    labels = labels[:, None] if labels.ndim == 1 else labels
    if labels.shape == (len(chances), 1) and chances.shape[1] > 1:
        labels = labels == np.arange(chances.shape[1])
    if labels.shape != chances.shape:
        raise ValueError(
            "`y` must hold a label for each sample. "
            f"Received: y of shape {np.shape(y)}, p of shape {chances.shape}"
        )
    return labels.astype("float64"), chances


def forecasts(y: Any, p: Any, kind: str) -> list[Forecasts]:
    """Return the forecasts that a metric judges.

    Args:
        y: Labels.
        p: Probabilities.
        kind: `"top_label"`: of the predicted class; `"class_wise"`: of each class. One column is
            the forecast of the positive class in either.
    """
    labels, chances = columns(y, p)
    if chances.shape[1] == 1 or kind == "class_wise":
        return [Forecasts(labels[:, k], chances[:, k]) for k in range(chances.shape[1])]
    rows, top = np.arange(len(chances)), chances.argmax(axis=1)
    return [Forecasts(labels[rows, top], chances[rows, top])]


def bins_of(p: Any, bins: int, right: bool) -> Any:
    """Return the number of the bin of each probability.

    Args:
        p: Probabilities.
        bins: Number of bins of equal width.
        right: Whether bins are (lo, hi], with 0 in the first, or [lo, hi), with 1 in the last.
    """
    edges = np.arange(1, bins) / bins  # 3 / 10 is the double 0.3; linspace gives its neighbour
    return np.searchsorted(edges, p, side="left" if right else "right")


def bin_members(p: Tensor, bins: int, right: bool) -> Tensor:
    """Return 1 in the bin of each probability, `(samples, bins)`.

    Args:
        p: Probabilities, `(samples,)`.
        bins: Number of bins of equal width.
        right: As for `bins_of`.
    """
    edges = ops.convert_to_tensor(np.arange(1, bins) / bins, dtype=p.dtype)
    above = ops.greater(p[:, None], edges) if right else ops.greater_equal(p[:, None], edges)
    index = ops.sum(ops.cast(above, "int32"), axis=-1)
    return ops.one_hot(index, bins, dtype=p.dtype)
