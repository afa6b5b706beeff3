"""SoftOrthogonal against the Gram matrix in float64."""

from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.regularizers import SoftOrthogonal


def off_diagonal(w, mode="columns"):
    w = w.astype("float64").reshape(-1, w.shape[-1] if w.ndim > 1 else 1)
    w = w.T if mode == "auto" and w.shape[0] < w.shape[1] else w
    gram = w.T @ w
    return gram - np.diag(np.diag(gram)), w


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 3, 2, 4), (2, 2, 1, 7), (5,)])
@pytest.mark.parametrize("mode", ["columns", "auto"])
def test_value_and_gradient_equal_the_gram_matrix(shape, mode, verify):
    w = np.random.default_rng(0).normal(size=shape).astype("float32")
    result = value_and_gradients(SoftOrthogonal(0.7, l1=0.1, l2=0.2, mode=mode), [], [w])
    rest, matrix = off_diagonal(w, mode)
    norms = 0.1 * np.abs(w).sum() + 0.2 * (w.astype("float64") ** 2).sum()
    name, oracle = "dl_techniques>SoftOrthogonal", "the Gram matrix in float64"
    verify(name, oracle, result.value, 0.7 * (rest**2).sum() + norms)
    slope = 0.7 * 4 * matrix @ rest
    slope = slope.T if slope.shape != w.reshape(-1, w.shape[-1]).shape and w.ndim > 1 else slope
    slope = slope.reshape(shape) + 0.1 * np.sign(w) + 0.4 * w
    verify(name, oracle, result.inputs[0], slope, what="gradient of the weight")


def test_the_lengths_of_orthogonal_columns_are_free():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 3)))
    penalty = SoftOrthogonal(1.0)
    assert float(penalty((q * [0.1, 2.0, 0.0]).astype("float32"))) == pytest.approx(0, abs=1e-10)
    assert float(penalty(np.ones((2, 2), "float32"))) == 8


def test_the_module_of_the_original_has_both():
    from dl_techniques.regularizers import SoftOrthonormal
    from dl_techniques.regularizers import soft_orthogonal as module

    assert (module.SoftOrthogonal, module.SoftOrthonormal) == (SoftOrthogonal, SoftOrthonormal)
