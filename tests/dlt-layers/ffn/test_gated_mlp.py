"""GatedMLP against timm's gMLP, and by who may see whom."""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.ffn import GatedMLP

ID = "dl_techniques>GatedMLP"


def randomized(layer, shape, seed=0):
    rng = np.random.default_rng(seed)
    layer.build(shape)
    layer.set_weights([rng.normal(scale=0.5, size=w.shape) for w in layer.weights])
    return layer, rng.normal(size=shape).astype("float32")


def call(layer, x, **settings):
    return ops.convert_to_numpy(layer(x, **settings))


@pytest.mark.parametrize("causal", [False, True])
def test_equals_the_formula(causal, verify):
    layer, x = randomized(GatedMLP(6, activation="tanh", causal=causal), (2, 4, 5))
    (w1, b1), (w2, b2) = (
        [w.astype("float64") for w in d.get_weights()] for d in (layer.hidden, layer.output_dense)
    )
    gamma, beta = layer.norm.get_weights()
    u, v = np.split(np.tanh(x @ w1 + b1), 2, axis=-1)
    v = (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5) * gamma + beta
    ws, bs = (ops.convert_to_numpy(w) for w in (layer.spatial_kernel, layer.spatial_bias))
    gate = np.einsum("nm,bmd->bnd", np.tril(ws) if causal else ws, v) + bs[:, None]
    verify(ID, "closed form in float64", layer(x), (u * gate) @ w2 + b2)


def test_it_starts_as_a_plain_block():
    layer = GatedMLP(6)
    x = np.random.default_rng(0).normal(size=(2, 4, 5)).astype("float32")
    y = call(layer, x)
    u = ops.convert_to_numpy(keras.activations.gelu(layer.hidden(x)))[..., :3]
    np.testing.assert_allclose(y, ops.convert_to_numpy(layer.output_dense(u)), atol=1e-4)


@pytest.mark.parametrize("tiny_attention", [None, 3])
def test_a_causal_block_does_not_look_ahead(tiny_attention):
    layer = GatedMLP(6, causal=True, tiny_attention=tiny_attention)
    layer, x = randomized(layer, (2, 5, 4))
    changed = x.copy()
    changed[:, 3:] += 10
    np.testing.assert_allclose(call(layer, changed)[:, :3], call(layer, x)[:, :3], atol=1e-4)
    assert np.abs(call(layer, changed)[:, 3:] - call(layer, x)[:, 3:]).max() > 0.1


@pytest.mark.parametrize("tiny_attention", [None, 3])
def test_masked_tokens_do_not_reach_others(tiny_attention):
    layer, x = randomized(GatedMLP(6, tiny_attention=tiny_attention), (2, 5, 4))
    mask = ops.convert_to_tensor(np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], bool))
    shown = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], bool)
    changed = np.where(shown[..., None], x, x + 10)
    before, after = (call(layer, array, mask=mask)[shown] for array in (x, changed))
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_tiny_attention_is_one_head_of_attention():
    layer, x = randomized(GatedMLP(6, activation=None, tiny_attention=3), (1, 4, 5))
    layer.spatial_kernel.assign(np.zeros((4, 4)))
    layer.spatial_bias.assign(np.zeros(4))
    q, k, v = np.split(ops.convert_to_numpy(layer.attention_qkv(x)), 3, axis=-1)
    logits = q @ k.transpose(0, 2, 1) / np.sqrt(3)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    attended = p / p.sum(-1, keepdims=True) @ v
    gate = ops.convert_to_numpy(layer.attention_output(attended))
    u = ops.convert_to_numpy(layer.hidden(x))[..., :3]
    expected = ops.convert_to_numpy(layer.output_dense(u * gate))
    np.testing.assert_allclose(call(layer, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.oracle
def test_equals_timm_with_gradients(timm, agree, dense_pairs):
    mlp = pytest.importorskip("timm.layers.mlp")
    unit = pytest.importorskip("timm.models.mlp_mixer").SpatialGatingUnit
    peer = mlp.GatedMlp(6, 10, gate_layer=partial(unit, seq_len=7))
    layer = GatedMLP(10)
    layer.build((2, 7, 6))
    gate = peer.gate
    pairs = [
        *dense_pairs(layer.hidden, peer.fc1),
        *dense_pairs(layer.output_dense, peer.fc2),
        (layer.norm.gamma, gate.norm.weight, np.asarray),
        (layer.norm.beta, gate.norm.bias, np.asarray),
        (layer.spatial_kernel, gate.proj.weight, np.asarray),
        (layer.spatial_bias, gate.proj.bias, np.asarray),
    ]
    x = np.random.default_rng(0).normal(size=(2, 7, 6)).astype("float32")
    agree(layer, layer, peer, pairs, [x], oracle=f"timm {timm.__version__} GatedMlp")
