"""DifferentialFFN by its formula in float64 and its stated properties."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.ffn import DifferentialFFN

ID = "dl_techniques>DifferentialFFN"


def randomized(shape=(2, 4, 5), seed=0, **settings):
    rng = np.random.default_rng(seed)
    layer = DifferentialFFN(6, output_dim=3, branch_activation="tanh", **settings)
    layer.build(shape)
    for w in layer.weights:
        if w.name != "lambda":
            w.assign(rng.normal(size=w.shape))
    return layer, rng.normal(size=shape).astype("float32")


def branches(layer):
    yield layer.positive, layer.negative
    if layer.gated:
        yield layer.positive_gate, layer.negative_gate


def affine(dense, x):
    kernel, bias = (w.astype("float64") for w in dense.get_weights())
    return x @ kernel + bias


@pytest.mark.parametrize("gated", [False, True])
def test_equals_the_formula(gated, verify):
    layer, x = randomized(gated=gated, lambda_init=0.7)
    scale = layer.norm.get_weights()[0]

    def ln(z):
        centred = z - z.mean(-1, keepdims=True)
        return centred / np.sqrt(z.var(-1, keepdims=True) + 1e-6) * scale

    p, n = (np.tanh(affine(dense, x)) for dense in (layer.positive, layer.negative))
    if gated:
        sides = (layer.positive_gate, layer.negative_gate)
        p, n = (b / (1 + np.exp(-affine(d, x))) for b, d in zip((p, n), sides, strict=True))
        z = ln(p - 0.7 * n)
    else:
        z = ln(p) - 0.7 * ln(n)
    verify(ID, "closed form in float64", layer(x), affine(layer.output_dense, z), tolerance=2e-5)


@pytest.mark.parametrize("gated", [False, True])
def test_swapping_the_branches_changes_the_sign(gated):
    layer, x = randomized(gated=gated)
    layer.output_dense.bias.assign(np.zeros(3))
    before = ops.convert_to_numpy(layer(x))
    for p, n in branches(layer):
        weights = p.get_weights(), n.get_weights()
        n.set_weights(weights[0])
        p.set_weights(weights[1])
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), -before, atol=1e-5)


@pytest.mark.parametrize("gated", [False, True])
def test_equal_branches_leave_the_bias(gated):
    layer, x = randomized(gated=gated)
    for p, n in branches(layer):
        n.set_weights(p.get_weights())
    bias = ops.convert_to_numpy(layer.output_dense.bias)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x)), np.broadcast_to(bias, (2, 4, 3)), atol=1e-4
    )


def test_without_inhibition_it_is_a_normalized_mlp():
    layer, x = randomized(lambda_init=0.0, trainable_lambda=False)
    hidden = layer.norm(ops.tanh(layer.positive(x)))
    expected = ops.convert_to_numpy(layer.output_dense(hidden))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, atol=1e-5)
    assert "lambda" not in {w.name for w in layer.trainable_weights}
