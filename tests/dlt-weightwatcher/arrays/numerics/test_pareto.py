from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.weightwatcher import fit_powerlaw
from dl_techniques.weightwatcher.numerics.pareto import all_candidates, fit_tail, runner_up
from dl_techniques.weightwatcher.numerics.powerlaw import peak


def quantiles(alpha, n=500):
    return (1 - (np.arange(1, n + 1) - 0.5) / n) ** (-1 / (alpha - 1))


def brute_force(x, min_tail=2):
    """The definition, start by start."""
    best = (np.inf, 0, 0.0)
    for i in range(x.size - min_tail + 1):
        tail = x[i:]
        m = tail.size
        total = np.log(tail / tail[0]).sum()
        if total <= 0:
            continue
        alpha = 1 + m / total
        D = np.abs(1 - (tail / tail[0]) ** (1 - alpha) - np.arange(m) / m).max()
        best = min(best, (D, i, alpha))
    return best


@pytest.mark.parametrize(
    ("alpha", "fitted"), [(1.8, 1.8014), (2.5, 2.5025), (3.5, 3.5042), (5, 5.0068), (8, 8.0119)]
)
def test_quantiles_of_a_pareto_law_give_its_exponent(alpha, fitted):
    found = fit_powerlaw(quantiles(alpha))
    assert found.alpha == pytest.approx(fitted, abs=5e-5)
    assert pytest.approx(0.0013454, abs=1e-6) == found.D
    assert found.n_tail == 500
    assert found.status == "ok"


@pytest.mark.parametrize("seed", range(12))
def test_the_search_equals_an_exhaustive_one(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 300))
    draw = [rng.pareto(1.5, n) + 1, rng.normal(size=n) ** 2, rng.lognormal(0, 2, n)][seed % 3]
    x = np.sort(draw)
    D, start, alpha = brute_force(x)
    found = fit_tail(x)
    assert found.start == start
    assert found.alpha == pytest.approx(alpha, rel=1e-10)
    assert pytest.approx(D, abs=1e-12) == found.D


def test_ties_start_a_tail_only_once_and_equal_values_none():
    x = np.sort(np.repeat(quantiles(2.5, 50), 3))
    found = fit_tail(x)
    assert x[found.start] > x[found.start - 1] if found.start else True
    assert np.isfinite(found.alpha)
    assert fit_tail(np.ones(30)) is None


def test_the_fit_does_not_depend_on_the_unit():
    x = np.sort(np.random.default_rng(3).pareto(2, 200) + 1)
    reference = fit_tail(x)
    for factor in (1e-30, 1e-6, 7.0, 1e30):
        found = fit_tail(factor * x)
        assert found.start == reference.start
        assert found.alpha == pytest.approx(reference.alpha, rel=1e-9)
        assert pytest.approx(reference.D, abs=1e-9) == found.D


def test_candidates_hold_the_chosen_one():
    x = np.sort(np.random.default_rng(4).pareto(2, 150) + 1)
    found, every = fit_tail(x), all_candidates(x)
    place = int(np.argmin(every.distances))
    assert (every.starts[place], every.alphas[place]) == (found.start, found.alpha)
    assert every.starts.size == 149


def test_minimal_tail_bounds_and_fixed_xmin_act():
    x = np.sort(np.random.default_rng(5).normal(size=300) ** 2)
    assert fit_powerlaw(x, min_tail=100).n_tail >= 100
    low, high = x[100], x[200]
    assert low <= fit_powerlaw(x, xmin=(low, high)).xmin <= high
    assert fit_powerlaw(x, xmin=float(x[120])).n_tail == 180
    assert fit_powerlaw(x, xmin=2 * float(x[-1])).status == "failed"
    assert fit_powerlaw(x, xmax=10).xmax == x[-11]
    assert fit_powerlaw(x, xmax=float(x[250])).xmax == x[250]
    mode = peak(x)
    assert 0.95 * mode <= fit_powerlaw(x, xmin="peak").xmin <= 1.5 * mode


def test_both_steps_of_the_distribution_give_a_larger_distance():
    x = np.random.default_rng(6).pareto(2, 80) + 1
    assert fit_powerlaw(x, ks="two_sided").D >= fit_powerlaw(x).D


def test_few_values_are_marked():
    assert fit_powerlaw(quantiles(2.5, 15)).status == "small"
    assert fit_powerlaw(quantiles(2.5, 15)).alpha == pytest.approx(2.5, abs=0.2)
    assert fit_powerlaw([1.0, 1.0, 1.0]).status == "degenerate"
    assert np.isnan(fit_powerlaw([]).alpha)
    with pytest.raises(ValueError, match="finite"):
        fit_powerlaw([1.0, np.nan])


def test_a_rival_that_fits_as_well_is_found():
    x = np.sort(np.random.default_rng(7).pareto(2, 400) + 1)
    best = fit_tail(x)
    rival = runner_up(x, best, 0.01)
    assert rival is not None
    assert rival.start != best.start
    assert best.D <= rival.D < best.D + 0.01
    assert runner_up(x, best, 0.0) is None
