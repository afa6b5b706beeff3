"""SoftOrthonormal against singular values."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.regularizers import SoftOrthonormal

SHAPES = [(6, 4), (4, 6), (5, 5), (3, 3, 2, 4), (2, 2, 1, 7), (5,)]


def singular_values(w):
    w = w.astype("float64").reshape(-1, w.shape[-1] if w.ndim > 1 else 1)
    return np.linalg.svd(w, compute_uv=False), w.shape


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["columns", "auto"])
def test_equals_the_singular_values(verify, shape, mode):
    w = np.random.default_rng(0).normal(size=shape).astype("float32")
    s, (rows, columns) = singular_values(w)
    unreachable = max(columns - rows, 0) if mode == "columns" else 0
    expected = 0.7 * (np.sum((s**2 - 1) ** 2) + unreachable)
    got = ops.convert_to_numpy(SoftOrthonormal(0.7, mode=mode)(w))
    verify("dl_techniques>SoftOrthonormal", "singular values in float64", got, expected)


def test_the_gradient_is_that_of_the_whole_gram_matrix(verify):
    w = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    got = value_and_gradients(SoftOrthonormal(1.0), [], [w]).inputs[0]
    exact = 4 * w.astype("float64") @ (w.T.astype("float64") @ w - np.eye(5))
    name, oracle = "dl_techniques>SoftOrthonormal", "closed form in float64"
    verify(name, oracle, got, exact, what="gradient of the weight")


def test_norms_are_added():
    w = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    plain = float(SoftOrthonormal(0.5)(w))
    got = float(SoftOrthonormal(0.5, l1=0.1, l2=0.2)(w))
    assert got == pytest.approx(plain + 0.1 * np.abs(w).sum() + 0.2 * (w**2).sum(), rel=1e-5)


def test_a_rotation_of_the_rows_changes_nothing():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(5, 3)).astype("float32")
    q, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    rotated = (q @ w).astype("float32")
    assert float(SoftOrthonormal()(rotated)) == pytest.approx(float(SoftOrthonormal()(w)), rel=1e-5)


def test_half_precision_is_computed_in_float32():
    w = (100 * np.random.default_rng(0).normal(size=(8, 4))).astype("float16")
    value = SoftOrthonormal(1.0)(ops.convert_to_tensor(w))
    s, _ = singular_values(w)
    assert float(value) == pytest.approx(np.sum((s**2 - 1) ** 2), rel=1e-4)


def test_a_scalar_is_refused():
    with pytest.raises(ValueError, match="at least one axis"):
        SoftOrthonormal()(np.float32(1.0))
