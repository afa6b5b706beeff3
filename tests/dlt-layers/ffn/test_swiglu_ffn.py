"""SwiGLUFFN against the formula in float64, transformers' LlamaMLP and timm's SwiGLU."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.ffn import SwiGLUFFN

ID = "dl_techniques>SwiGLUFFN"


def test_equals_the_formula(verify):
    rng = np.random.default_rng(0)
    layer = SwiGLUFFN(hidden_dim=7, output_dim=3, use_bias=True)
    x = rng.normal(size=(2, 3, 5)).astype("float32")
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    dense = [layer.gate, layer.up, layer.down]
    (wg, bg), (wu, bu), (wd, bd) = [[w.astype("float64") for w in d.get_weights()] for d in dense]
    z = x @ wg + bg
    expected = (z / (1 + np.exp(-z)) * (x @ wu + bu)) @ wd + bd
    verify(ID, "closed form in float64", layer(x), expected)


@pytest.mark.parametrize(
    ("features", "settings", "width"),
    [
        (96, {}, 256),
        (97, {}, 512),
        (4096, {}, 11008),
        (10, {"ffn_multiple_of": 1}, 27),
        (12, {"ffn_expansion_factor": 2, "ffn_multiple_of": 8}, 16),
        (5, {"hidden_dim": 9}, 9),
    ],
)
def test_the_width_follows_the_rule(features, settings, width):
    layer = SwiGLUFFN(**settings)
    hidden = layer.hidden_dim or layer._hidden_dim(features)
    assert hidden == width


def test_gate_and_value_start_different_and_dropout_is_only_for_training():
    layer = SwiGLUFFN(hidden_dim=16, dropout=0.5, seed=1)
    x = np.random.default_rng(0).normal(size=(2, 4, 8)).astype("float32")
    inference = ops.convert_to_numpy(layer(x))
    assert np.abs(np.subtract(*[d.get_weights()[0] for d in (layer.gate, layer.up)])).max() > 0.01
    np.testing.assert_array_equal(inference, ops.convert_to_numpy(layer(x, training=False)))
    assert np.abs(inference - ops.convert_to_numpy(layer(x, training=True))).max() > 1e-3


@pytest.mark.oracle
def test_equals_llama_mlp_with_gradients(transformers, agree, dense_pairs):
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    peer = llama.LlamaMLP(
        transformers.LlamaConfig(hidden_size=12, intermediate_size=20, num_attention_heads=2)
    )
    layer = SwiGLUFFN(hidden_dim=20)
    x = np.random.default_rng(0).normal(size=(2, 5, 12)).astype("float32")
    layer.build(x.shape)
    pairs = [
        *dense_pairs(layer.gate, peer.gate_proj),
        *dense_pairs(layer.up, peer.up_proj),
        *dense_pairs(layer.down, peer.down_proj),
    ]
    oracle = f"transformers {transformers.__version__} LlamaMLP"
    agree(layer, layer, peer, pairs, [x], oracle=oracle, tolerance=1e-5)


@pytest.mark.oracle
def test_equals_timm_with_gradients(timm, agree, dense_pairs):
    peer = pytest.importorskip("timm.layers.mlp").SwiGLU(7, 11)
    layer = SwiGLUFFN(hidden_dim=11, use_bias=True)
    x = np.random.default_rng(0).normal(size=(3, 5, 7)).astype("float32")
    layer.build(x.shape)
    pairs = [
        *dense_pairs(layer.gate, peer.fc1_g),
        *dense_pairs(layer.up, peer.fc1_x),
        *dense_pairs(layer.down, peer.fc2),
    ]
    oracle = f"timm {timm.__version__} SwiGLU"
    agree(layer, layer, peer, pairs, [x], oracle=oracle, tolerance=1e-5)
