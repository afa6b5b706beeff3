"""EntropyRegularizer against scipy.stats.entropy."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.regularizers import EntropyRegularizer


def entropies(w, axis=-1, normalization="softmax", temperature=1.0):
    from scipy.special import softmax
    from scipy.stats import entropy

    sizes = np.abs(np.asarray(w, "float64"))
    axes = (axis,) if isinstance(axis, int) else axis
    p = softmax(sizes / temperature, axis) if normalization == "softmax" else sizes + 1e-7
    kept = [i for i in range(p.ndim) if i not in {a % p.ndim for a in axes}]
    p = np.transpose(p, [*kept, *(a % p.ndim for a in axes)])
    p = p.reshape(*p.shape[: len(kept)], -1)
    return entropy(p, axis=-1) / np.log(p.shape[-1])


@pytest.mark.parametrize("scale", [0.05, 1.0, 10.0])
@pytest.mark.parametrize("axis", [-1, 0, (0, 1, 2)])
@pytest.mark.parametrize("settings", [{}, {"temperature": 3.0}, {"normalization": "abs"}], ids=str)
def test_equals_scipy_with_gradient(scale, axis, settings, verify, differences):
    w = (scale * np.random.default_rng(0).normal(size=(3, 2, 2, 4))).astype("float32")

    def exact(w):
        return 0.7 * np.mean((entropies(w, axis, **settings) - 0.4) ** 2)

    result = value_and_gradients(EntropyRegularizer(0.7, 0.4, axis, **settings), [], [w])
    name, oracle = "dl_techniques>EntropyRegularizer", "scipy.stats.entropy"
    verify(name, oracle, result.value, exact(w))
    slopes = differences(exact, w, step=1e-6 * scale)
    verify(name, oracle, result.inputs[0], slopes, what="gradient of the weight", tolerance=1e-3)


def test_a_single_entry_has_no_entropy():
    assert float(EntropyRegularizer(1.0, 0.5)(np.ones((3, 1), "float32"))) == 0.25


@pytest.mark.parametrize("normalization", ["softmax", "abs"])
def test_zeros_are_uniform(normalization):
    penalty = EntropyRegularizer(1.0, 0.25, normalization=normalization)
    result = value_and_gradients(penalty, [], [np.zeros((2, 4), "float32")])
    assert float(result.value) == pytest.approx(0.75**2)
    assert np.isfinite(result.inputs[0]).all()


def test_abs_does_not_depend_on_the_scale():
    w = np.random.default_rng(0).normal(size=(3, 9)).astype("float32")
    penalty = EntropyRegularizer(1.0, normalization="abs")
    assert float(penalty(100 * w)) == pytest.approx(float(penalty(w)), rel=1e-4)


def test_large_weights_of_half_precision_are_finite():
    w = ops.convert_to_tensor(np.array([[6e4, 0.0, 1.0]]), "float16")
    assert float(EntropyRegularizer(1.0, 0.8)(w)) == pytest.approx(0.64, abs=1e-6)


def test_an_axis_that_the_weight_lacks_is_refused():
    with pytest.raises(ValueError, match="`axis`"):
        EntropyRegularizer(axis=2)(np.ones((2, 2), "float32"))
