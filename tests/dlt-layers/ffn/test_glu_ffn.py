"""GLUFFN against float64, timm's GluMlp, and SwiGLUFFN."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.ffn import GLUFFN, SwiGLUFFN

ID = "dl_techniques>GLUFFN"
ACTIVATIONS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equals_the_formula(activation, verify):
    rng = np.random.default_rng(0)
    layer = GLUFFN(7, output_dim=3, activation=activation)
    x = rng.normal(size=(2, 3, 5)).astype("float32")
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    dense = [layer.gate, layer.up, layer.down]
    (wg, bg), (wu, bu), (wd, bd) = [[w.astype("float64") for w in d.get_weights()] for d in dense]
    expected = (ACTIVATIONS[activation](x @ wg + bg) * (x @ wu + bu)) @ wd + bd
    verify(ID, "closed form in float64", layer(x), expected)


def test_with_silu_it_is_swiglu():
    x = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
    one, two = GLUFFN(8, activation="silu", use_bias=False), SwiGLUFFN(8)
    one.build(x.shape)
    two.build(x.shape)
    two.set_weights(one.get_weights())
    np.testing.assert_allclose(
        ops.convert_to_numpy(one(x)), ops.convert_to_numpy(two(x)), atol=1e-6
    )


@pytest.mark.oracle
@pytest.mark.parametrize("activation", ["Sigmoid", "GELU", "SiLU"])
@pytest.mark.parametrize("gate_last", [True, False])
def test_equals_timm_with_gradients(activation, gate_last, timm, agree, dense_pairs):
    torch = pytest.importorskip("torch")
    act = getattr(torch.nn, activation)
    peer = pytest.importorskip("timm.layers.mlp").GluMlp(7, 22, act_layer=act, gate_last=gate_last)
    # timm keeps both halves in one matrix; two of them give the same, and one gradient each.
    gate, value = torch.nn.Linear(7, 11), torch.nn.Linear(7, 11)
    halves = [value, gate] if gate_last else [gate, value]
    peer.fc1.forward = lambda x: torch.cat([half(x) for half in halves], dim=-1)
    layer = GLUFFN(11, activation=activation.lower())
    layer.build((2, 5, 7))
    pairs = [
        *dense_pairs(layer.gate, gate),
        *dense_pairs(layer.up, value),
        *dense_pairs(layer.down, peer.fc2),
    ]
    x = np.random.default_rng(0).normal(size=(2, 5, 7)).astype("float32")
    oracle = f"timm {timm.__version__} GluMlp"
    agree(layer, layer, peer, pairs, [x], oracle=oracle, tolerance=1e-5)
