from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.weightwatcher import eigenvalues, sharpen_model, smooth_model, stable_rank


def test_the_result_is_the_best_approximation_of_its_rank(heavy):
    before = heavy.copy()
    smooth = smooth_model({"w": heavy}, rank=12)["w"]
    assert np.array_equal(heavy, before)
    assert smooth.dtype == heavy.dtype
    exact = np.linalg.svd(heavy.astype("float64"), compute_uv=False)
    error = np.linalg.norm(smooth.astype("float64") - heavy)
    assert error == pytest.approx(np.sqrt((exact[12:] ** 2).sum()), rel=1e-6)
    assert np.linalg.matrix_rank(smooth.astype("float64"), tol=1e-3) == 12


@pytest.mark.parametrize("rank", ["detX", "alpha", "mp", 0.25, 7])
def test_every_rule_keeps_the_largest(heavy, rank):
    values = eigenvalues(smooth_model({"w": heavy}, rank=rank)["w"])
    exact = eigenvalues(heavy)
    kept = int((values > 1e-6 * values[-1]).sum())
    assert 0 < kept < 100
    np.testing.assert_allclose(values[-kept:], exact[-kept:], rtol=1e-4)


def test_kernels_are_written_back_where_they_came_from():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 8, 12))
    smooth = smooth_model({"conv": kernel}, rank=2)["conv"]
    for i in range(3):
        for j in range(3):
            U, s, V = np.linalg.svd(kernel[i, j])
            np.testing.assert_allclose(smooth[i, j], (U[:, :2] * s[:2]) @ V[:2], atol=1e-12)


def test_in_place_and_by_name(heavy):
    arrays = {"a": heavy.copy(), "b": heavy.copy() + 1, "bias": np.ones(3)}
    result = smooth_model(arrays, rank=5, include="a", copy=False)
    assert np.linalg.matrix_rank(arrays["a"], tol=1e-3) == 5
    assert np.array_equal(result["b"], heavy + 1)


def test_sharpening_raises_outliers_of_the_bulk():
    rng = np.random.default_rng(1)
    W = rng.normal(size=(200, 100)) / np.sqrt(200)
    W += 4 * np.outer(
        np.linalg.qr(rng.normal(size=(200, 1)))[0], np.linalg.qr(rng.normal(size=(100, 1)))[0]
    )
    sharp = sharpen_model({"w": W})["w"]
    before, after = eigenvalues(W), eigenvalues(sharp)
    assert after[-1] > 1.2 * before[-1]
    np.testing.assert_allclose(after[:80], before[:80], rtol=1e-6)
    assert stable_rank(sharp) < stable_rank(W)


@pytest.mark.parametrize("rank", [0, -1, 1.5, 0.0, "svd", None, True])
def test_useless_ranks_are_refused(heavy, rank):
    with pytest.raises(ValueError, match="rank"):
        smooth_model({"w": heavy}, rank=rank)


def test_files_cannot_be_written_to():
    with pytest.raises(TypeError, match="Expected a Keras model"):
        smooth_model("model.keras")
