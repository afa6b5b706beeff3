"""Closed forms and invariances of the single metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dl_techniques.weightwatcher import (
    alpha,
    concentration_score,
    eigenvalues,
    matrix_entropy,
    mp_fit,
    stable_rank,
)
from dl_techniques.weightwatcher.numerics import shape
from dl_techniques.weightwatcher.numerics.distances import (
    jensen_shannon,
    linear_cka,
    subspace_overlap,
    wasserstein,
)
from dl_techniques.weightwatcher.numerics.localization import localization
from dl_techniques.weightwatcher.numerics.windows import windowed_hill_alpha


def orthogonal(n, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def test_orthogonal_and_rank_one_matrices():
    Q = orthogonal(24).astype("float32")
    assert stable_rank(Q) == pytest.approx(24, rel=1e-5)
    assert matrix_entropy(Q) == pytest.approx(1, abs=1e-6)
    assert concentration_score(Q) == pytest.approx(0, abs=1e-6)
    one = np.outer(np.arange(1, 31), np.arange(1, 21)).astype("float32")
    assert stable_rank(one) == pytest.approx(1)
    assert matrix_entropy(one) == 0
    assert concentration_score(one) == pytest.approx(1)


@pytest.mark.parametrize("metric", [alpha, stable_rank, matrix_entropy, concentration_score])
def test_metrics_do_not_see_scale_rotation_transposition_or_order(metric):
    rng = np.random.default_rng(1)
    W = rng.standard_t(3, (80, 50))
    expected = metric(W)
    variants = [1e-4 * W, 1e6 * W, W.T, W[rng.permutation(80)], orthogonal(80) @ W @ orthogonal(50)]
    for variant in variants:
        assert metric(variant) == pytest.approx(expected, rel=1e-8)
    assert metric(evals=eigenvalues(W)) == pytest.approx(expected, rel=1e-8)


def test_companions_of_the_concentration():
    evals = np.array([1.0, 1.0, 2.0, 4.0])
    assert shape.participation_ratio(evals) == pytest.approx(64 / 22)
    assert shape.concentration(evals) == pytest.approx(1 - (64 / 22 - 1) / 3)
    pairs = np.abs(np.subtract.outer(evals, evals)).sum()
    assert shape.gini(evals) == pytest.approx(pairs / (2 * 4 * evals.sum()))
    p = evals / 8
    assert shape.effective_rank(evals) == pytest.approx(math.exp(-(p * np.log(p)).sum()))


def test_the_seed_library_has_its_variant():
    W = np.random.default_rng(2).normal(size=(40, 30))
    U, s, _ = np.linalg.svd(W)
    top = s[:3] ** 2
    gini = np.abs(np.subtract.outer(top, top)).sum() / (2 * 3 * top.sum())
    local = np.mean(1 / (U[:, :3] ** 4).sum(axis=0))
    expected = math.log(1 + gini * top[0] / (top[1] + top[2]) / local)
    assert concentration_score(W, variant="top3") == pytest.approx(expected)
    with pytest.raises(ValueError, match="variant"):
        concentration_score(W, variant="top5")
    with pytest.raises(ValueError, match="needs the matrix"):
        concentration_score(evals=top, variant="top3")


def test_exactly_one_of_matrix_and_eigenvalues():
    with pytest.raises(ValueError, match="either"):
        stable_rank()
    with pytest.raises(ValueError, match="either"):
        stable_rank(np.eye(3), evals=[1.0])
    with pytest.raises(ValueError, match="evals"):
        stable_rank(evals=[-1.0])


def test_the_logarithmic_norm_does_not_overflow():
    evals = np.array([1.0, 10.0, 1e200])
    assert shape.log_norm(evals, 30.0) == pytest.approx(6000)
    assert shape.log_norm(np.array([1.0, 2.0]), 3.0) == pytest.approx(math.log10(9))


@pytest.mark.parametrize("n", [10, 300, 5000])
def test_unit_volume_in_logarithms_equals_the_product(n):
    evals = np.sort(np.random.default_rng(n).lognormal(0, 0.1, n))
    rescaled = (evals / evals.mean())[::-1]
    products = np.cumprod(rescaled)
    assert shape.volume_count(evals) == int(np.flatnonzero(products < 1)[0]) + 1


def test_unit_volume_of_a_long_heavy_tail():
    evals = np.sort((1 - np.random.default_rng(0).random(20000)) ** (-1 / 1.5))
    count = shape.volume_count(evals)
    logs = np.sort(np.log(evals / evals.mean()))[::-1]
    assert logs[: count - 1].sum() >= 0 > logs[:count].sum()


@pytest.mark.parametrize(("rows", "columns"), [(1600, 400), (500, 500)])
def test_the_random_bulk_is_recognised(rows, columns):
    W = np.random.default_rng(3).normal(size=(rows, columns)) / math.sqrt(rows)
    found = mp_fit(eigenvalues(W), rows, columns)
    Q = rows / columns
    assert found.sigma == pytest.approx(1, rel=0.01)
    assert found.num_spikes == 0
    assert found.bulk_max == pytest.approx((1 + Q**-0.5) ** 2, rel=0.02)
    assert found.bulk_min == pytest.approx((1 - Q**-0.5) ** 2, rel=0.1, abs=0.01)


def test_planted_spikes_are_counted():
    rng = np.random.default_rng(4)
    W = rng.normal(size=(800, 200)) / math.sqrt(800)
    U, V = (np.linalg.qr(rng.normal(size=(n, 3)))[0] for n in (800, 200))
    found = mp_fit(eigenvalues(W + (U * [4.0, 5.0, 6.0]) @ V.T), 800, 200)
    assert found.num_spikes == 3


def test_windows_of_one_ratio_make_shapes_comparable():
    rng = np.random.default_rng(5)
    raw, windowed = [], []
    for Q in (1, 2, 4, 8, 16):
        W = rng.normal(size=(128 * Q, 128))
        raw.append(shape.hill_alpha(eigenvalues(W)))
        windowed.append(windowed_hill_alpha(W))
    assert raw[-1] > 2 * raw[0]
    assert np.ptp(windowed) < 0.05 * np.mean(windowed)


def test_distances():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])
    assert wasserstein(a, a) == 0
    assert wasserstein(a, b) == pytest.approx(1 / 2.5)
    assert wasserstein(a, np.repeat(a, 2)) == pytest.approx(0, abs=1e-12)
    assert wasserstein(np.array([0.0, 1.0]), np.array([0.0, 0.0, 1.0])) == pytest.approx(
        (1 / 6) / (0.5 * (1 / 2 + 1 / 3))
    )
    assert jensen_shannon(a, a) == 0
    assert jensen_shannon(a, 1000 * a) == pytest.approx(math.sqrt(math.log(2)))
    X = np.random.default_rng(6).normal(size=(30, 5))
    assert linear_cka(X, 3 * X @ orthogonal(5) + 1) == pytest.approx(1)
    assert subspace_overlap(np.eye(4)[:, :2], np.eye(4)[:, :2]) == pytest.approx(1)
    assert subspace_overlap(np.eye(4)[:, :2], np.eye(4)[:, 2:]) == 0


def test_localisation_of_a_planted_unit_vector():
    rng = np.random.default_rng(7)
    W = rng.normal(size=(200, 60)) / math.sqrt(200)
    W[:, 0] *= 5  # the leading right singular vector is nearly a coordinate axis
    found = localization(W, xmin=10.0)
    assert found["tail_mean_part_ratio"] < 1.1 < found["bulk_mean_part_ratio"]
    assert found["tail_mean_loc_ratio"] < found["bulk_mean_loc_ratio"]
