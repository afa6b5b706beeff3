"""OrthonormalInitializer by orthonormality and the moments of the uniform distribution."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.initializers import HeOrthonormalInitializer, OrthonormalInitializer


def draw(shape, dtype=None, **settings):
    return ops.convert_to_numpy(OrthonormalInitializer(**settings)(shape, dtype))


@pytest.mark.parametrize("shape", [(3, 7), (5, 5), (1, 4), (1, 1)])
@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_rows_are_orthogonal_of_length_gain(verify, shape, gain):
    w = draw(shape, gain=gain, seed=2).astype("float64")
    gram = w @ w.T / gain**2
    name, oracle = "dl_techniques>OrthonormalInitializer", "orthonormal rows in float64"
    verify(name, oracle, gram, np.eye(shape[0]), tolerance=2e-6)


def test_it_is_uniform_over_rotations_and_reflections():
    n = 1500
    q = np.stack([draw((3, 3), seed=seed) for seed in range(n)])
    traces = np.trace(q, axis1=1, axis2=2)
    # Uniform over O(3): the trace has mean 0 and variance 1, each entry mean 0 and variance 1/3.
    assert abs(traces.mean()) < 4 / np.sqrt(n)
    assert traces.var() == pytest.approx(1, abs=0.15)
    assert np.abs(q.mean(axis=0)).max() < 4 * np.sqrt(1 / 3 / n)
    assert np.mean(np.linalg.det(q) > 0) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(n))


def test_seeds_repeat_and_their_absence_differs():
    np.testing.assert_array_equal(draw((2, 4), seed=1), draw((2, 4), seed=1))
    assert (draw((2, 4), seed=1) != draw((2, 4), seed=2)).any()
    assert (draw((2, 4)) != draw((2, 4))).any()
    one = OrthonormalInitializer()
    np.testing.assert_array_equal(
        ops.convert_to_numpy(one((2, 4))), ops.convert_to_numpy(one((2, 4)))
    )
    keras.utils.set_random_seed(9)
    first = draw((2, 4))
    keras.utils.set_random_seed(9)
    np.testing.assert_array_equal(first, draw((2, 4)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_dtype_is_the_one_asked_for(dtype):
    w = OrthonormalInitializer(seed=1)((3, 4), dtype=dtype)
    assert keras.backend.standardize_dtype(w.dtype) == dtype


def test_a_seed_gives_the_gram_schmidt_basis_of_its_draws():
    rows = np.random.default_rng(7).standard_normal((5, 3)).T
    basis = []
    for row in rows:
        rest = row - sum(((row @ q) * q for q in basis), np.zeros(5))
        basis.append(rest / np.linalg.norm(rest))
    np.testing.assert_allclose(draw((3, 5), seed=7), basis, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4), (3,)])
def test_shapes_without_orthonormal_rows_are_refused(shape):
    with pytest.raises(ValueError, match="`shape`"):
        draw(shape)


def test_he_scaling_is_a_gain(verify):
    """Oracle: E[w^2] = 2 / d, and the rows of the other name's instance."""
    w = ops.convert_to_numpy(HeOrthonormalInitializer(gain=2**0.5, seed=3)((4, 8)))
    assert (w.astype("float64") ** 2).mean() == pytest.approx(2 / 8, rel=1e-6)
    name, oracle = "dl_techniques>HeOrthonormalInitializer", "scaled orthonormal rows in float64"
    verify(name, oracle, w @ w.T, 2 * np.eye(4), tolerance=4e-6)
    np.testing.assert_allclose(w, 2**0.5 * draw((4, 8), seed=3), rtol=1e-6)
