"""MLPBlock, SwinMLP and ResidualBlock against timm and transformers, and float64."""

from __future__ import annotations

from math import erf

import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.activations import xGELU
from dl_techniques.layers.ffn import MLPBlock, ResidualBlock, SwinMLP


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def randomized(layer, shape, seed=0):
    rng = np.random.default_rng(seed)
    layer.build(shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer, rng.normal(size=shape).astype("float32")


def weights(dense):
    return [w.astype("float64") for w in dense.get_weights()]


@pytest.mark.parametrize("block", [MLPBlock, SwinMLP])
def test_the_block_equals_the_formula(block, verify):
    layer, x = randomized(block(7, output_dim=3), (2, 4, 5))
    (w1, b1), (w2, b2) = weights(layer.hidden), weights(layer.output_dense)
    expected = gelu(x @ w1 + b1) @ w2 + b2
    verify(f"dl_techniques>{block.__name__}", "closed form in float64", layer(x), expected)


@pytest.mark.parametrize("linear_residual", [True, False])
def test_the_residual_block_equals_the_formula(linear_residual, verify):
    layer, x = randomized(ResidualBlock(7, linear_residual=linear_residual), (2, 4, 5))
    (w1, b1), (w2, b2) = weights(layer.hidden), weights(layer.output_dense)
    hidden = x @ w1 + b1
    expected = hidden / (1 + np.exp(-hidden)) @ w2 + b2
    if linear_residual:
        wr, br = weights(layer.residual)
        expected = expected + x @ wr + br
    else:
        expected = expected + x
    verify("dl_techniques>ResidualBlock", "closed form in float64", layer(x), expected)


def test_the_dropouts_of_one_seed_drop_different_places():
    layer, x = randomized(MLPBlock(6, activation=None, dropout=0.5, seed=3), (1, 64, 6))
    layer.hidden.kernel.assign(np.eye(6))
    layer.output_dense.kernel.assign(np.eye(6))
    for dense in (layer.hidden, layer.output_dense):
        dense.bias.assign(np.zeros(6))
    y = ops.convert_to_numpy(layer(np.abs(x) + 1, training=True))
    # Kept with probability 1/4, if the two masks are independent; 1/2 if they were one.
    assert np.mean(y > 0) == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / y.size))


def test_an_activation_may_be_a_layer_with_weights_of_its_own():
    layer = MLPBlock(6, activation="xGELU")
    layer.build((None, 4))
    assert isinstance(layer.activation_layer, xGELU)
    assert any(w.name == "alpha" for w in layer.trainable_weights)


@pytest.mark.oracle
@pytest.mark.parametrize("block", [MLPBlock, SwinMLP])
@pytest.mark.parametrize("shape", [(2, 5, 7), (1, 3, 2, 7)])
def test_the_block_equals_timm_with_gradients(block, shape, timm, agree, dense_pairs):
    peer = pytest.importorskip("timm.layers.mlp").Mlp(7, 11, 3)
    layer = block(11, output_dim=3)
    layer.build(shape)
    pairs = [*dense_pairs(layer.hidden, peer.fc1), *dense_pairs(layer.output_dense, peer.fc2)]
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    oracle = f"timm {timm.__version__} Mlp"
    agree(layer, layer, peer, pairs, [x], oracle=oracle, tolerance=1e-5)


@pytest.mark.oracle
def test_the_residual_block_equals_timesfm_with_gradients(transformers, agree, dense_pairs):
    timesfm = pytest.importorskip("transformers.models.timesfm.modeling_timesfm")
    peer = timesfm.TimesFmResidualBlock(5, 11, 7)
    layer = ResidualBlock(11, output_dim=7)
    layer.build((2, 3, 5))
    pairs = [
        *dense_pairs(layer.hidden, peer.input_layer),
        *dense_pairs(layer.output_dense, peer.output_layer),
        *dense_pairs(layer.residual, peer.residual_layer),
    ]
    x = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
    oracle = f"transformers {transformers.__version__} TimesFmResidualBlock"
    agree(layer, layer, peer, pairs, [x], oracle=oracle, tolerance=1e-5)
