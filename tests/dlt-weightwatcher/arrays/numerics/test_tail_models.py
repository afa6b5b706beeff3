from __future__ import annotations

import math

import numpy as np
import pytest

from dl_techniques.weightwatcher import fit_powerlaw
from dl_techniques.weightwatcher.numerics.fingers import clip_fingers, outlier_p_value
from dl_techniques.weightwatcher.numerics.pareto import fit_tail
from dl_techniques.weightwatcher.numerics.tail_models import (
    LAWS,
    best_law,
    compare,
    fit_truncated,
    fit_truncated_at,
    log_densities,
)


def truncated(alpha, Lambda, n, seed=0):
    """Rejection from the power law."""
    rng = np.random.default_rng(seed)
    found: list[float] = []
    while len(found) < n:
        x = (1 - rng.random(4 * n)) ** (-1 / (alpha - 1))
        found += x[rng.random(4 * n) < np.exp(-Lambda * (x - 1))].tolist()
    return np.sort(found[:n])


@pytest.mark.parametrize(("alpha", "Lambda"), [(1.5, 0.1), (2.0, 0.05), (2.5, 0.5)])
def test_parameters_of_the_truncated_law_come_back(alpha, Lambda):
    found = fit_truncated_at(truncated(alpha, Lambda, 20000), 0)
    assert found.alpha == pytest.approx(alpha, abs=0.1)
    assert found.Lambda == pytest.approx(Lambda, rel=0.25)
    assert found.D < 0.01


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_law_is_a_density(law, seed):
    """ln p of the law's own fit, integrated numerically over the tail, gives one."""
    x = truncated(1.8, 0.2, 400, seed)
    logs = log_densities(x, 0, law)
    # The density as a function: interpolate ln p, which is smooth in ln x.
    u = np.log(x / x[0])
    inside = np.exp(np.interp(np.linspace(0, u[-1], 20001), u, logs + np.log(x)))
    mass = (
        np.trapezoid(inside, dx=u[-1] / 20000)
        if hasattr(np, "trapezoid")
        else np.trapz(inside, dx=u[-1] / 20000)
    )
    assert mass == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_wider_laws_never_fit_worse_than_special_cases(seed):
    rng = np.random.default_rng(seed)
    draws = [rng.pareto(1.5, 150) + 1, rng.exponential(1, 150) + 1, rng.normal(size=150) ** 2 + 0.1]
    for draw in draws:
        x = np.sort(draw)
        total = {law: float(log_densities(x, 0, law).sum()) for law in LAWS}
        assert total["TPL"] >= total["PL"] - 1e-6
        assert total["TPL"] >= total["exponential"] - 1e-6
        assert total["lognormal"] >= total["PL"] - 1e-4


def test_the_better_law_is_named():
    rng = np.random.default_rng(5)
    power = [best_law(np.sort(rng.pareto(1.5, 300) + 1), 0) for _ in range(10)]
    exponential = [best_law(np.sort(rng.exponential(1, 300) + 0.5), 0) for _ in range(10)]
    assert power.count("PL") >= 8
    assert "PL" not in exponential
    assert fit_powerlaw(rng.pareto(1.5, 400) + 1, distribution="best").law is not None


def test_vuong_has_a_sign_and_a_probability():
    x = np.sort(np.random.default_rng(6).exponential(1, 500) + 1)
    power, exponential = (log_densities(x, 0, law) for law in ("PL", "exponential"))
    verdict = compare(power, exponential)
    assert verdict.ratio < 0
    assert verdict.p_value < 0.01
    assert compare(exponential, power).ratio == pytest.approx(-verdict.ratio)
    same = compare(power, power)
    assert (same.ratio, same.p_value) == (0.0, 1.0)


def test_xmin_is_chosen_for_the_truncated_law():
    x = truncated(2.0, 0.1, 200)
    body = np.linspace(0.05, 0.99, 150)
    found = fit_truncated(np.sort(np.concatenate([body, x])))
    assert found.start >= 120
    fitted = fit_powerlaw(x, distribution="TPL")
    assert math.isfinite(fitted.Lambda)
    assert dict(fitted.extras)["tpl_p"] < 0.05


def test_fingers_are_clipped_and_tested():
    rng = np.random.default_rng(7)
    bulk = np.sort(rng.normal(10, 0.3, 200))
    x = np.concatenate([bulk, [60.0, 80.0]])
    first = fit_tail(x)
    clipped = clip_fingers(x, first)
    raised = fit_powerlaw(x, fingers="clip")
    assert dict(raised.extras)["num_fingers"] == clipped.dropped
    assert dict(raised.extras)["raw_alpha"] == first.alpha
    tail = np.sort((1 - rng.random(200)) ** (-1 / 2.0))
    fitted = fit_tail(tail, min_tail=100)
    assert outlier_p_value(tail, fitted) > 0.001
    pushed = np.append(tail[:-1], tail[-1] * 1e6)
    assert outlier_p_value(pushed, fitted) < 0.01
