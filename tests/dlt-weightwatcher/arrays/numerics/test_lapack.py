"""The routines beneath NumPy against NumPy's own, and analyses without them."""

from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.weightwatcher import analyze_model
from dl_techniques.weightwatcher.numerics import lapack, spectrum
from dl_techniques.weightwatcher.numerics.lapack import Routines, routines_for
from dl_techniques.weightwatcher.numerics.threads import libraries, single_threaded


@pytest.fixture(params=["float64", "float32"])
def routines(request):
    found = routines_for(np.dtype(request.param), 1000)
    if found is None:
        pytest.skip("NumPy's library is no OpenBLAS that has them all")
    return found, np.dtype(request.param)


def rows_of(matrix):
    """The same numbers, however an array can hold them."""
    wide = np.zeros((matrix.shape[0], matrix.shape[1] + 7), matrix.dtype)
    wide[:, 3:-4] = matrix
    return [matrix, np.asfortranarray(matrix), wide[:, 3:-4], wide.T.copy().T[:, 3:-4]]


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (70, 130), (300, 131)])
def test_products_fill_the_upper_triangle(routines, shape):
    found, dtype = routines
    matrix = np.random.default_rng(0).normal(size=shape).astype(dtype)
    expected = np.triu(matrix.astype("float64").T @ matrix)
    for block in rows_of(matrix):
        total = np.zeros((shape[1],) * 2, dtype)
        found.add_product(block, total)
        found.add_product(block, total)
        limit = 100 * np.finfo(dtype).eps * expected.max()
        np.testing.assert_allclose(total, 2 * expected, rtol=0, atol=limit)


@pytest.mark.parametrize("two_stages", [False, True])
@pytest.mark.parametrize("n", [1, 2, 47, 48, 49, 50, 200])
def test_eigenvalues_are_those_of_numpy(routines, n, two_stages):
    found, dtype = routines
    matrix = np.random.default_rng(n).standard_t(3, (n + 3, n)).astype(dtype)
    product = matrix.T @ matrix
    expected = np.linalg.eigvalsh(product.astype("float64"))
    values = found.eigenvalues(np.triu(product), two_stages=two_stages)
    assert values.dtype == dtype
    limit = 10 * n * np.finfo(dtype).eps * expected[-1]
    np.testing.assert_allclose(values, expected, rtol=0, atol=limit)


def test_equal_eigenvalues_and_zero_converge(routines):
    found, dtype = routines
    for values in (np.ones(60), np.zeros(60), np.repeat([1.0, 3.0], 30)):
        for two_stages in (False, True):
            solved = found.eigenvalues(np.diag(values).astype(dtype), two_stages=two_stages)
            np.testing.assert_allclose(solved, np.sort(values), atol=1e-6)


def test_another_library_or_one_that_counts_otherwise_is_left_alone(monkeypatch):
    with pytest.raises(AttributeError, match="lacks"):
        Routines(object(), "float64")
    found = routines_for(np.dtype("float64"), 1000)
    if found is not None:
        monkeypatch.setattr(Routines, "eigenvalues", lambda self, m, **_: np.ones(len(m)))
        assert not lapack._agrees(found, "float64")
    assert routines_for(np.dtype("complex128"), 1000) is None
    assert routines_for(np.dtype("float64"), 20) is None


def test_an_analysis_works_without_them(monkeypatch):
    weights = {"w": np.random.default_rng(0).standard_t(3, (300, 200)).astype("float32")}
    with_them = analyze_model(weights, n_jobs=1, vectors=True)[0]
    monkeypatch.setattr(spectrum, "routines_for", lambda *_: None)
    without = analyze_model(weights, n_jobs=1, vectors=True)[0]
    np.testing.assert_allclose(with_them.esd, without.esd, rtol=1e-10)
    for name in ("alpha", "D", "entropy", "tail_mean_vec_entropy"):
        assert with_them[name] == pytest.approx(without[name], rel=1e-8)


def test_the_last_of_several_workers_lifts_the_limit():
    def threads():
        return [
            found.num_threads for found in libraries().lib_controllers if found.user_api == "blas"
        ]

    with libraries().limit(limits=2, user_api="blas"):
        before = threads()
        first, second = single_threaded(), single_threaded()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert set(threads()) == {1}
        second.__exit__(None, None, None)
        assert threads() == before
