"""Metrics of the shape of a spectrum: how many eigenvalues carry how much of it.

All take eigenvalues in ascending order and do not change when these are scaled.
"""

from __future__ import annotations

import math

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array


def stable_rank(evals: Array) -> float:
    """sum(lambda) / max(lambda).

    Args:
        evals: Eigenvalues, ascending.
    """
    return float(np.sum(evals / evals[-1])) if evals[-1] > 0 else math.nan


def entropy(evals: Array, tolerance: float = 0.0) -> float:
    """-sum p ln p / ln r over the r eigenvalues above the tolerance; 0 for r = 1.

    Args:
        evals: Eigenvalues, ascending.
        tolerance: Share of the largest that an eigenvalue must exceed.
    """
    kept = evals[evals > tolerance * evals[-1]]
    if not kept.size:
        return math.nan
    p = kept / kept.sum()
    p = p[p > 0]
    if p.size == 1:
        return 0.0
    return min(1.0, float(-np.sum(p * np.log(p)) / math.log(p.size)))


def effective_rank(evals: Array) -> float:
    """exp(-sum p ln p), Roy and Vetterli's.

    Args:
        evals: Eigenvalues, ascending.
    """
    if evals[-1] <= 0:
        return math.nan
    p = evals / evals.sum()
    p = p[p > 0]
    return float(np.exp(-np.sum(p * np.log(p))))


def participation_ratio(evals: Array) -> float:
    """(sum lambda)^2 / sum lambda^2, between 1 and the number of eigenvalues.

    Args:
        evals: Eigenvalues, ascending.
    """
    if evals[-1] <= 0:
        return math.nan
    p = evals / evals[-1]
    return float(p.sum() ** 2 / np.square(p).sum())


def concentration(evals: Array) -> float:
    """1 - (PR - 1) / (n - 1): 0 for equal eigenvalues, 1 for a single one.

    Args:
        evals: Eigenvalues, ascending.
    """
    n = evals.size
    if n < 2:
        return 1.0 if n and evals[-1] > 0 else math.nan
    return float(np.clip(1.0 - (participation_ratio(evals) - 1.0) / (n - 1), 0.0, 1.0))


def gini(evals: Array) -> float:
    """sum_i (2i - n - 1) lambda_i / (n sum lambda), i from 1.

    Args:
        evals: Eigenvalues, ascending.
    """
    n, total = evals.size, float(evals.sum())
    if total <= 0:
        return math.nan
    return float(np.sum((2 * np.arange(1, n + 1) - n - 1) * (evals / total)) / n)


def log_norm(evals: Array, power: float) -> float:
    """log10 sum lambda^power over the positive eigenvalues, without overflow.

    Args:
        evals: Eigenvalues, ascending.
        power: The exponent.
    """
    top = float(evals[-1])
    if top <= 0 or not math.isfinite(power):
        return math.nan
    logs = power * np.log(evals[evals > 0])
    peak = float(logs.max())
    return (peak + math.log(float(np.sum(np.exp(logs - peak))))) / math.log(10)


def hill_alpha(evals: Array, share: float = 0.5) -> float:
    """The Hill estimator on the k = share * n largest: 1 + k / sum ln(lambda / lambda_{n-k}).

    Args:
        evals: Eigenvalues, ascending.
        share: Share of the eigenvalues in the tail.
    """
    k = int(evals.size * share)
    if k < 1 or evals[-k - 1] <= 0:
        return math.nan
    # Of a ratio the logarithm could overflow: eigenvalues span what single numbers do.
    total = float(np.sum(np.log(evals[-k:]) - math.log(evals[-k - 1])))
    return 1.0 + k / total if total > 0 else math.inf


def volume_count(evals: Array) -> int:
    """The k whose largest eigenvalues, rescaled to mean 1, first have a product below 1.

    The condition det = 1 of the scale-invariant spectrum, in sums of logarithms: exact wherever
    the product would not overflow, and right beyond.

    Args:
        evals: Eigenvalues, ascending.

    Returns:
        k, or the number of positive eigenvalues if the product never falls below 1.
    """
    if evals[-1] <= 0:
        return 0
    ratios = evals[::-1] / evals.mean()
    logs = np.log(ratios[ratios > 0])
    below = np.flatnonzero(np.cumsum(logs) < 0)
    return int(below[0]) + 1 if below.size else int(logs.size)
