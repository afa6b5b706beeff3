"""CoupledRMSNorm by its stated properties."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.norms import CoupledRMSNorm, RMSNorm


def call(layer, x):
    return ops.convert_to_numpy(layer(x))


def vectors():
    return (2 * np.random.default_rng(0).normal(size=(4, 6))).astype("float32")


def rms(x):
    return np.sqrt(np.mean(x.astype("float64") ** 2, axis=-1))


@pytest.mark.parametrize(
    ("c", "trainable"), [(0.0, False), (0.3, False), (0.3, True), (0.5, True), (1.0, False)]
)
def test_the_output_keeps_the_rest_of_the_scale(c, trainable, verify):
    layer = CoupledRMSNorm(c, trainable_coupling=trainable)
    x = vectors()
    oracle = "closed form in float64"
    expected = x / (rms(x)[:, None] ** c + 1e-6)
    verify("dl_techniques>CoupledRMSNorm", oracle, call(layer, x), expected)
    np.testing.assert_allclose(rms(call(layer, x)), rms(x) ** (1 - c), rtol=1e-5)
    np.testing.assert_allclose(
        call(layer, np.float32(5) * x), 5 ** (1 - c) * call(layer, x), rtol=1e-5
    )


def test_its_ends_are_the_identity_and_rms_normalization():
    x = vectors()
    np.testing.assert_allclose(call(CoupledRMSNorm(0.0), x), x, rtol=2e-6)
    np.testing.assert_allclose(call(CoupledRMSNorm(1.0), x), call(RMSNorm(), x), rtol=1e-5)


@pytest.mark.parametrize("c", [0.0, 0.5, 1.0])
def test_zero_gives_zero_and_finite_gradients(c):
    layer = CoupledRMSNorm(c, trainable_coupling=0 < c < 1)
    x = np.zeros((2, 4), "float32")
    layer.build(x.shape)
    result = value_and_gradients(lambda x: ops.sum(layer(x)), layer.trainable_variables, [x])
    assert result.value == 0
    assert all(np.isfinite(g).all() for g in [*result.variables, *result.inputs])
