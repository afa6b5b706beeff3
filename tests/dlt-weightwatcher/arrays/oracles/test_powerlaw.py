"""The fits against powerlaw 1.5, the reference implementation of Clauset's method."""

from __future__ import annotations

import contextlib
import importlib.util
import io

import numpy as np
import pytest

from dl_techniques.weightwatcher import fit_powerlaw
from dl_techniques.weightwatcher.numerics.tail_models import (
    compare,
    fit_truncated,
    fit_truncated_at,
    log_densities,
)

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

if importlib.util.find_spec("powerlaw") is None:
    pytest.skip("powerlaw is not installed", allow_module_level=True)


def reference(x, **options):
    import powerlaw

    if hasattr(powerlaw, "__version__") and powerlaw.__version__.startswith("2"):
        options["parameter_ranges"] = {"alpha": [1, None]}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = powerlaw.Fit(x, verbose=False, **options)
        _ = found.alpha
    return found


def draws():
    rng = np.random.default_rng(0)
    gaussian = rng.normal(size=(300, 120))
    return {
        "pareto": rng.pareto(1.5, 200) + 1,
        "steep": rng.pareto(4, 150) + 1,
        "lognormal": rng.lognormal(0, 1, 200),
        "exponential": rng.exponential(1, 200) + 0.1,
        "bulk": np.linalg.eigvalsh(gaussian.T @ gaussian),
    }


@pytest.mark.parametrize("name", draws())
def test_the_power_law(name):
    x = draws()[name]
    ours, theirs = fit_powerlaw(x), reference(x)
    assert ours.alpha == pytest.approx(theirs.alpha, rel=1e-9)
    assert ours.xmin == pytest.approx(theirs.xmin, rel=1e-12)
    assert pytest.approx(theirs.D, rel=1e-9) == ours.D
    assert ours.sigma == pytest.approx(theirs.sigma, rel=1e-9)


@pytest.mark.parametrize("name", draws())
def test_likelihoods_at_the_same_start(name):
    x = np.sort(draws()[name])[-100:]
    theirs = reference(x, xmin=float(x[0]))
    truncated = fit_truncated_at(x, 0)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert truncated.loglikelihood >= theirs.truncated_power_law.loglikelihood - 1e-6
        exponential = theirs.exponential.loglikelihood
    assert log_densities(x, 0, "exponential").sum() == pytest.approx(exponential, rel=1e-6)


def test_vuongs_ratio_has_the_same_value():
    x = np.sort(draws()["lognormal"])
    theirs = reference(x, xmin=float(x[0]))
    ratio, p = theirs.distribution_compare("power_law", "exponential", normalized_ratio=True)
    ours = compare(log_densities(x, 0, "PL"), log_densities(x, 0, "exponential"))
    assert ours.ratio == pytest.approx(ratio, rel=1e-4)
    assert ours.p_value == pytest.approx(p, rel=1e-3)


def test_the_truncated_law_chooses_its_start_as_well():
    x = np.sort(draws()["pareto"])[:60]
    theirs = reference(
        x, distribution="truncated_power_law", xmin_distribution="truncated_power_law"
    )
    ours = fit_truncated(x)
    assert ours.D <= theirs.truncated_power_law.D + 1e-4
