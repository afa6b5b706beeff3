from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.weightwatcher import eigenvalues
from dl_techniques.weightwatcher.numerics import spectrum as module
from dl_techniques.weightwatcher.numerics.spectrum import (
    NotFiniteError,
    count_nonfinite,
    gram,
    spectrum,
)


@pytest.mark.parametrize("shape", [(1, 7, 5), (1, 5, 7), (6, 9, 4), (3, 4, 4), (1, 200, 1)])
@pytest.mark.parametrize("method", ["gram", "svd", "auto"])
def test_eigenvalues_are_squared_singular_values(shape, method):
    stack = np.random.default_rng(0).normal(size=shape)
    found = spectrum(stack, method=method).evals
    expected = np.linalg.svd(stack, compute_uv=False)[:, ::-1] ** 2
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_blocks_do_not_change_the_result(monkeypatch):
    stack = np.random.default_rng(1).normal(size=(5, 40, 12))
    whole = spectrum(stack).evals
    monkeypatch.setattr(module, "_BLOCK", 100)
    np.testing.assert_allclose(spectrum(stack).evals, whole, rtol=1e-12)


@pytest.mark.parametrize("shape", [(300, 40), (300, 160), (160, 160)])
def test_the_order_in_memory_changes_no_bit(shape):
    matrix = np.random.default_rng(2).normal(size=shape).astype("float32")
    expected = gram(matrix)
    assert np.array_equal(expected, gram(np.asfortranarray(matrix)))
    if shape[0] != shape[1]:
        assert np.array_equal(expected, gram(np.ascontiguousarray(matrix.T)))


@pytest.mark.parametrize("power", [-300, -200, 150])
def test_extreme_weights_keep_their_digits(power):
    matrix = np.random.default_rng(3).normal(size=(30, 20))
    small = eigenvalues(matrix)
    scaled = eigenvalues(matrix * 10.0**power * 1e150) if power < -150 else small
    ratio = scaled / scaled[-1]
    np.testing.assert_allclose(ratio, small / small[-1], rtol=1e-9)


def test_single_precision_survives_tiny_and_huge_weights():
    matrix = np.random.default_rng(4).normal(size=(30, 20)).astype("float32")
    for factor in (1e-25, 1e25):
        found = spectrum((matrix * np.float32(factor))[None], precision="float32").evals[0]
        expected = spectrum(matrix[None]).evals[0]
        np.testing.assert_allclose(found / found[-1], expected / expected[-1], rtol=1e-4)


def test_small_eigenvalues_of_doubles_are_resolved_on_request():
    rng = np.random.default_rng(5)
    left, right = (np.linalg.qr(rng.normal(size=(20, 20)))[0] for _ in range(2))
    values = np.logspace(0, -12, 20)
    matrix = (left * values) @ right
    exact = spectrum(matrix[None], exact=True)
    assert exact.resolved
    np.testing.assert_allclose(np.sqrt(exact.evals[0][::-1]), values, rtol=1e-3)
    assert not spectrum(matrix[None]).resolved


def test_nan_and_infinity_are_counted():
    matrix = np.ones((6, 5))
    matrix[1, 2], matrix[3, 3], matrix[0, 0] = np.nan, np.inf, -np.inf
    for stack in (matrix[None], matrix.astype("float32")[None]):
        with pytest.raises(NotFiniteError, match="1 NaN and 2 infinite") as caught:
            spectrum(stack)
        assert caught.value.counts == (1, 2)
        with pytest.raises(NotFiniteError):
            spectrum(stack, method="svd")
    assert count_nonfinite(matrix) == (1, 2)


def test_stacks_are_pooled_and_other_shapes_refused():
    stack = np.random.default_rng(6).normal(size=(3, 4, 2))
    assert eigenvalues(stack).shape == (6,)
    assert (np.diff(eigenvalues(stack)) >= 0).all()
    for wrong in (np.ones(3), np.ones((2, 0)), 5.0):
        with pytest.raises(ValueError, match="matrix"):
            eigenvalues(wrong)
