"""SparseAttention and its maps against entmax, x-transformers, bisection and torch's MHA."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients, whole_call
from dl_techniques.layers.attention.sparse_attention import SparseAttention
from dl_techniques.layers.attention.sparse_maps import entmax15, sparsemax, top_k_softmax

NAME = "dl_techniques>SparseAttention"


def draw(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def bisected(z, power):
    """max(c z - tau, 0)^(1 / (alpha - 1)) with tau such that rows sum to one, by bisection."""
    z = z.astype("float64") / power
    low, high = z.max(-1, keepdims=True) - 1, z.max(-1, keepdims=True)
    for _ in range(200):
        tau = (low + high) / 2
        total = np.sum(np.maximum(z - tau, 0) ** power, -1, keepdims=True)
        low, high = np.where(total > 1, tau, low), np.where(total > 1, high, tau)
    return np.maximum(z - low, 0) ** power


MAPS = {"sparsemax": (sparsemax, 1), "entmax15": (entmax15, 2)}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("size", [1, 2, 7, 200])
def test_maps_equal_the_bisection(name, size, verify):
    function, power = MAPS[name]
    z = np.concatenate([draw(5, 3, size, scale=scale) for scale in (0.0, 0.3, 1.0, 30.0)])
    p = array(whole_call(function)(ops.convert_to_tensor(z)))
    verify(NAME, f"{name} by bisection in float64", p, bisected(z, power))
    np.testing.assert_allclose(p.sum(-1), 1, atol=1e-5)


def test_sparsemax_of_keras_is_not_built_upon():
    # Keras 3.15.1: rows with a support of several entries do not sum to one.
    z = ops.convert_to_tensor(draw(8, 6, scale=0.3))
    np.testing.assert_allclose(array(ops.sum(sparsemax(z), -1)), 1, atol=1e-6)


@pytest.mark.parametrize("name", MAPS)
def test_maps_give_exact_zeros_to_masked_entries(name):
    function, power = MAPS[name]
    z = draw(4, 9)
    hidden = np.arange(9) >= 5
    p = array(function(ops.convert_to_tensor(np.where(hidden, np.float32(-1e9), z))))
    assert (p[:, 5:] == 0).all()
    np.testing.assert_allclose(p[:, :5], bisected(z[:, :5], power), atol=1e-6)
    everything = array(function(ops.convert_to_tensor(np.full((1, 4), -1e9, "float32"))))
    np.testing.assert_allclose(everything, 0.25, atol=1e-6)


@pytest.mark.parametrize("name", MAPS)
def test_gradients_equal_differences_of_the_bisection(name):
    function, power = MAPS[name]
    z, g = draw(1, 6), draw(1, 6, seed=1)
    ours = value_and_gradients(lambda z, g: ops.sum(function(z) * g), [], [z, g]).inputs[0]
    step = 1e-5 * np.eye(6)
    z64 = z.astype("float64")
    numeric = [
        np.sum((bisected(z64 + s, power) - bisected(z64 - s, power)) * g) / 2e-5 for s in step
    ]
    np.testing.assert_allclose(ours[0], numeric, atol=1e-4)


@pytest.mark.parametrize("k", [1, 3, 7, 99])
def test_top_k_keeps_the_largest(k):
    z = draw(5, 7)
    p = array(top_k_softmax(ops.convert_to_tensor(z), k))
    kept = z >= np.sort(z, -1)[:, ::-1][:, [min(k, 7) - 1]]
    expected = np.where(kept, np.exp(z), 0)
    np.testing.assert_allclose(p, expected / expected.sum(-1, keepdims=True), atol=1e-6)
    assert (p[~kept] == 0).all()


def test_top_k_keeps_all_ties():
    p = array(top_k_softmax(ops.convert_to_tensor([[1.0, 1.0, 1.0, 0.0]]), 2))
    np.testing.assert_allclose(p, [[1 / 3, 1 / 3, 1 / 3, 0]], atol=1e-6)


@pytest.mark.parametrize(
    "config", [{}, {"sparsity": "sparsemax"}, {"sparsity": "topk", "top_k": 2}]
)
def test_rows_sum_to_one_under_masks(config):
    layer = SparseAttention(2, 4, kernel_initializer="random_normal", **config)
    real = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
    how = {"padding_mask": real, "use_causal_mask": True, "return_attention_scores": True}
    _, scores = layer(draw(2, 6, 8), **how)
    scores = array(scores)
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)
    assert (scores[1, :, :, 3:] == 0).all()
    assert (np.triu(scores, 1) == 0).all()
    if config.get("top_k"):
        assert ((scores > 0).sum(-1) <= 2).all()


def test_top_k_of_all_keys_is_softmax_attention_with_unknown_length():
    inputs = keras.Input((None, 8))
    layer = SparseAttention(2, 4, sparsity="topk", top_k=50)
    model = keras.Model(inputs, layer(inputs))
    peer = keras.layers.MultiHeadAttention(2, 4)
    x = draw(2, 6, 8)
    peer(x, x)
    for ours, theirs in zip(layer.weights, peer.weights, strict=True):
        theirs.assign(array(ours).reshape(theirs.shape))
    np.testing.assert_allclose(array(model(x)), array(peer(x, x)), atol=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("scale", [0.5, 5.0])
def test_maps_equal_entmax(name, scale, verify):
    torch = pytest.importorskip("torch")
    entmax = pytest.importorskip("entmax")
    z, g = draw(3, 4, 11, scale=scale), draw(3, 4, 11, seed=1)
    z_peer = torch.tensor(z, requires_grad=True)
    y_peer = getattr(entmax, name)(z_peer, dim=-1)
    (y_peer * torch.tensor(g)).sum().backward()
    function = MAPS[name][0]
    ours = value_and_gradients(lambda z, g: ops.sum(function(z) * g), [], [z, g])
    oracle = f"entmax.{name}"
    verify(NAME, oracle, array(function(ops.convert_to_tensor(z))), y_peer)
    verify(NAME, oracle, ours.inputs[0], z_peer.grad, what="gradient of inputs")


@pytest.mark.oracle
def test_top_k_equals_x_transformers(verify):
    torch = pytest.importorskip("torch")
    peers = pytest.importorskip("x_transformers.attend")
    z = draw(2, 3, 5, 9)
    theirs = peers.sparse_topk_attn(torch.tensor(z), 4)
    ours = array(top_k_softmax(ops.convert_to_tensor(z), 4))
    verify(NAME, "x_transformers.attend.sparse_topk_attn", ours, theirs)


@pytest.mark.oracle
@pytest.mark.parametrize("sparsity", ["sparsemax", "entmax15"])
def test_the_layer_equals_projections_of_torch_with_entmax(sparsity, agree, torch_mha, monkeypatch):
    import torch

    entmax = pytest.importorskip("entmax")
    layer = SparseAttention(2, 3, sparsity=sparsity)
    x = draw(2, 5, 6)
    layer.build(x.shape)
    _, pairs, _ = torch_mha(layer, 6, 2)
    peers = {variable.path: tensor for variable, tensor, _ in pairs}

    def project(x, dense):
        return torch.nn.functional.linear(x, peers[dense.kernel.path], peers[dense.bias.path])

    def theirs(x):
        q, k, v = (
            project(x, dense).reshape(2, 5, 2, 3).transpose(1, 2)
            for dense in (layer.query_projection, layer.key_projection, layer.value_projection)
        )
        weights = getattr(entmax, sparsity)(q @ k.mT / 3**0.5, dim=-1)
        return project((weights @ v).transpose(1, 2).reshape(2, 5, 6), layer.output_projection)

    agree(layer, layer, theirs, pairs, [x], oracle=f"torch projections with entmax.{sparsity}")
