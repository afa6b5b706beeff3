"""Localisation of the right singular vectors, in the bulk and in the tail."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.spectrum import gram

_BINS: Final = 100
_ROUNDING: Final = 1e-9
_METRICS: Final = ("vec_entropy", "loc_ratio", "part_ratio")


def localization(matrix: Any, xmin: float) -> dict[str, float]:
    """Mean and variance of three metrics over the vectors below and above xmin.

    `vec_entropy` is the entropy of a 100-bin histogram of |v| - mean (natural logarithm),
    `loc_ratio` is ||v||_1 / ||v||_inf and `part_ratio` is ||v||_2 / ||v||_4.

    Args:
        matrix: Two axes, in either orientation.
        xmin: The smallest eigenvalue of the tail.
    """
    evals, vectors = np.linalg.eigh(gram(matrix), UPLO="U")
    sizes = np.abs(vectors)
    values = {
        "vec_entropy": np.array([_histogram_entropy(v) for v in sizes.T]),
        "loc_ratio": sizes.sum(axis=0) / sizes.max(axis=0),
        "part_ratio": (sizes**4).sum(axis=0) ** -0.25,
    }
    # xmin is one of the eigenvalues, but by another solver: its last digits may differ.
    tail = evals >= xmin * (1 - _ROUNDING)
    found = {}
    for place, chosen in (("bulk", ~tail), ("tail", tail)):
        for name in _METRICS:
            some = values[name][chosen]
            found[f"{place}_mean_{name}"] = float(some.mean()) if some.size else math.nan
            found[f"{place}_var_{name}"] = float(some.var()) if some.size else math.nan
    return found


def _histogram_entropy(v: Array) -> float:
    counts, _ = np.histogram(v - v.mean(), bins=_BINS)
    p = counts[counts > 0] / v.size
    return float(-np.sum(p * np.log(p)))
