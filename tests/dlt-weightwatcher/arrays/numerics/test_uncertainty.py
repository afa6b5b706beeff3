from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.weightwatcher import fit_powerlaw
from dl_techniques.weightwatcher.numerics.uncertainty import bootstrap_alpha, goodness_of_fit


def pareto(alpha, n, rng):
    return np.sort((1 - rng.random(n)) ** (-1 / (alpha - 1)))


def gaussian_spectrum(n, rng):
    W = rng.normal(size=(2 * n, n))
    return np.linalg.eigvalsh(W.T @ W)


def test_replicas_are_repeatable_and_follow_the_seed():
    x = pareto(2.5, 120, np.random.default_rng(0))
    first, again = (fit_powerlaw(x, bootstrap=30, gof=30) for _ in range(2))
    assert (first.ci, first.p_value) == (again.ci, again.p_value)
    assert first.ci != fit_powerlaw(x, bootstrap=30, gof=30, seed=1).ci
    assert first.ci[0] < first.alpha < first.ci[1]


def test_random_matrices_are_no_power_laws_and_pareto_data_is_one():
    rng = np.random.default_rng(1)
    spectra = (gaussian_spectrum(300, rng) for _ in range(20))
    rejected = [goodness_of_fit(x, replicas=60, rng=rng) < 0.05 for x in spectra]
    kept = [goodness_of_fit(pareto(2.5, 300, rng), replicas=60, rng=rng) > 0.1 for _ in range(40)]
    print(f"{sum(rejected)} of 20 Gaussian spectra rejected, {sum(kept)} of 40 Pareto sets kept")
    assert sum(rejected) >= 0.90 * 20
    assert sum(kept) >= 0.85 * 40 - 2  # a standard error of forty trials


@pytest.mark.parametrize(
    ("n", "sets", "replicas"),
    [
        (100, 120, 100),
        pytest.param(100, 400, 200, marks=pytest.mark.slow),
        pytest.param(400, 400, 200, marks=pytest.mark.slow),
    ],
)
def test_the_interval_covers_the_truth(n, sets, replicas):
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(sets):
        low, high = bootstrap_alpha(pareto(2.5, n, rng), replicas=replicas, rng=rng)
        hits += low <= 2.5 <= high
    print(f"coverage at n = {n}: {hits / sets:.3f}")
    # Few data sets scatter: 120 of them by a standard error of 0.02.
    low, high = (0.90, 0.985) if sets >= 400 else (0.88, 0.99)
    assert low <= hits / sets <= high
