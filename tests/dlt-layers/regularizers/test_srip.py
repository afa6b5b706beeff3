"""SRIPRegularizer against numpy's eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.regularizers import SRIPRegularizer

SHAPES = [(6, 4), (4, 6), (5, 5), (3, 3, 2, 4), (5,)]


def spectrum(w):
    w = w.astype("float64").reshape(-1, w.shape[-1] if w.ndim > 1 else 1)
    return np.linalg.eigh(w.T @ w - np.eye(w.shape[1])), w


@pytest.mark.parametrize("shape", SHAPES)
def test_many_iterations_give_the_spectral_norm_and_its_gradient(shape, verify):
    w = np.random.default_rng(1).normal(size=(int(np.prod(shape[:-1])), shape[-1]))
    u, s, vt = np.linalg.svd(w, full_matrices=False)
    # One singular value apart from the others, so that few iterations converge.
    w = (u @ np.diag([2.0, *np.linspace(1.2, 0.8, len(s) - 1)]) @ vt).reshape(shape)
    w = w.astype("float32")
    result = value_and_gradients(SRIPRegularizer(0.7, power_iterations=20), [], [w])
    (values, vectors), matrix = spectrum(w)
    leading = np.argmax(np.abs(values))
    v = vectors[:, leading : leading + 1]
    slope = 0.7 * np.sign(values[leading]) * 2 * matrix @ v @ v.T
    name, oracle = "dl_techniques>SRIPRegularizer", "numpy.linalg.eigh"
    verify(name, oracle, result.value, 0.7 * np.abs(values[leading]))
    slope = slope.reshape(shape)
    verify(name, oracle, result.inputs[0], slope, what="gradient of the weight")


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_few_iterations_are_a_lower_bound_that_rises(steps):
    ratios = []
    for seed in range(10):
        w = np.random.default_rng(seed).normal(size=(12, 8)).astype("float32")
        values = spectrum(w)[0][0]
        few, more = (float(SRIPRegularizer(1.0, n)(w)) for n in (steps, steps + 1))
        ratios.append(few / np.abs(values).max())
        assert few <= more * (1 + 1e-5)
    assert max(ratios) <= 1 + 1e-5
    assert min(ratios) > 0.4


def test_eigenvalues_of_opposite_signs_do_not_cancel():
    """W^T W - I = diag(0.5, -0.5): a Rayleigh quotient could give 0."""
    w = np.diag(np.sqrt([1.5, 0.5])).astype("float32")
    assert float(SRIPRegularizer(1.0, 1)(w)) == pytest.approx(0.5, rel=1e-5)


def test_columns_that_sum_to_zero_are_no_trap():
    """From a start of ones the power iteration would stay at the eigenvalue -1."""
    w = np.random.default_rng(0).normal(size=(9, 5))
    w = (2 * (w - w.mean(axis=1, keepdims=True))).astype("float32")
    expected = np.abs(spectrum(w)[0][0]).max()
    assert float(SRIPRegularizer(1.0, 50)(w)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("error", [1e-3, 1e-6])
def test_near_the_target_it_still_finds_the_norm(error):
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 4)))
    w = q * np.sqrt(1 + np.array([error, 0, 0, 0]))
    expected = np.abs(spectrum(w)[0][0]).max()
    got = float(SRIPRegularizer(1.0, 30)(w.astype("float32")))
    assert got == pytest.approx(expected, abs=2e-6, rel=1e-3)


def test_wide_matrices_cost_at_least_one_unless_rows_count():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 3)))
    w = q.T.astype("float32")
    assert float(SRIPRegularizer(1.0, 20)(w)) == pytest.approx(1, rel=1e-5)
    assert float(SRIPRegularizer(1.0, 20, mode="auto")(w)) < 1e-5
