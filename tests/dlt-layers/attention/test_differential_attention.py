"""DifferentialAttention: its algebra, timm's DiffAttention and transformers' DiffLlama."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.attention.attend import attend
from dl_techniques.layers.attention.differential_attention import DifferentialAttention


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def test_rows_of_the_difference_sum_to_one_minus_lambda():
    layer = DifferentialAttention(2, lambda_init=0.3)
    x = draw(2, 5, 16)
    _, scores = layer(x, return_attention_scores=True)
    vectors = [array(getattr(layer, f"lambda_{n}")) for n in ("q1", "k1", "q2", "k2")]
    weight = np.exp(vectors[0] @ vectors[1]) - np.exp(vectors[2] @ vectors[3]) + 0.3
    np.testing.assert_allclose(array(scores).sum(-1), 1 - weight, atol=1e-5)


@pytest.mark.parametrize("index", [0, 3])
def test_lambda_starts_by_depth(index):
    layer = DifferentialAttention(1, layer_index=index)
    x = draw(1, 3, 4)
    layer.build(x.shape)
    for name in ("q1", "k1", "q2", "k2"):
        getattr(layer, f"lambda_{name}").assign(np.zeros(2))
    _, scores = layer(x, return_attention_scores=True)
    start = 0.8 - 0.6 * np.exp(-0.3 * index)
    np.testing.assert_allclose(array(scores).sum(-1), 1 - start, atol=1e-5)


def test_scores_and_the_fast_path_agree():
    layer = DifferentialAttention(2, num_kv_heads=1, rope_theta=100.0)
    x = draw(2, 6, 16)
    how = {"use_causal_mask": True, "padding_mask": np.array([[1] * 6, [1] * 4 + [0] * 2])}
    with_scores, _ = layer(x, return_attention_scores=True, **how)
    np.testing.assert_allclose(array(layer(x, **how)), array(with_scores), atol=1e-5)


def test_equal_maps_leave_one_minus_lambda_of_the_attention():
    layer = DifferentialAttention(1, lambda_init=0.4, pairing="split")
    x = draw(1, 4, 8)
    layer.build(x.shape)
    for projection in (layer.query_projection, layer.key_projection):
        kernel = array(projection.kernel).copy()
        kernel[:, 4:] = kernel[:, :4]
        projection.kernel.assign(kernel)
    for name in ("q1", "k1", "q2", "k2"):
        getattr(layer, f"lambda_{name}").assign(np.zeros(4))
    q, k = (layer._maps(p(x), 1)[:, :, :1] for p in (layer.query_projection, layer.key_projection))
    plain = array(attend(q, k, layer._values(layer.value_projection(x)))) * 0.6
    normed = plain / np.sqrt(np.mean(plain**2, -1, keepdims=True) + 1e-5) * 0.6
    expected = layer.output_projection(normed.reshape(1, 4, 8))
    np.testing.assert_allclose(array(layer(x)), array(expected), atol=1e-4)


def test_queries_count_as_the_last_tokens():
    layer = DifferentialAttention(2, rope_theta=100.0)
    x = draw(2, 6, 16)
    whole = array(layer(x, use_causal_mask=True))
    tail = array(layer(x[:, -2:], x, use_causal_mask=True))
    np.testing.assert_allclose(tail, whole[:, -2:], atol=1e-5)


def vector_pairs(layer, peer):
    for name in ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"):
        yield getattr(layer, name), getattr(peer, name), np.asarray


@pytest.mark.oracle
@pytest.mark.parametrize("depth", [0, 2])
def test_equals_timm(depth, timm, agree):
    import torch
    from timm.layers.diff_attention import DiffAttention

    peer = DiffAttention(16, num_heads=2, depth=depth, proj_bias=False).eval()
    weights = [torch.nn.Parameter(torch.zeros(16, 16)) for _ in range(3)]
    real = np.array([[1] * 7, [1] * 5 + [0] * 2], bool)
    seen = torch.tensor(np.tri(7, dtype=bool)[None, None] & real[:, None, None])
    layer = DifferentialAttention(2, layer_index=depth)
    x = draw(2, 7, 16)
    layer.build(x.shape)

    def theirs(x):
        return torch.func.functional_call(
            peer, {"qkv.weight": torch.cat(weights)}, (x,), {"attn_mask": seen}
        )

    projections = (layer.query_projection, layer.key_projection, layer.value_projection)
    agree(
        layer,
        lambda x: layer(x, use_causal_mask=True, padding_mask=real),
        theirs,
        [
            *((p.kernel, w, np.transpose) for p, w in zip(projections, weights, strict=True)),
            (layer.output_projection.kernel, peer.proj.weight, np.transpose),
            (layer.head_norm.gamma, peer.sub_norm.weight, np.asarray),
            *vector_pairs(layer, peer),
        ],
        [x],
        keep=real[:, :, None],
        oracle=f"timm DiffAttention {timm.__version__}",
        tolerance=5e-5,
    )


@pytest.mark.oracle
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_equals_diffllama(kv_heads, transformers, agree):
    import torch
    from transformers.models.diffllama import modeling_diffllama as peers

    config = transformers.DiffLlamaConfig(
        hidden_size=24,
        num_attention_heads=4,
        num_key_value_heads=2 * kv_heads,
        rms_norm_eps=1e-5,
        head_dim=6,
        attn_implementation="eager",
    )
    peer = peers.DiffLlamaAttention(config, layer_idx=1).eval()
    cos, sin = peers.DiffLlamaRotaryEmbedding(config)(torch.zeros(1), torch.arange(7)[None])
    additive = torch.where(torch.ones(7, 7).tril() > 0, 0.0, torch.finfo(torch.float32).min)
    layer = DifferentialAttention(
        2,
        num_kv_heads=kv_heads,
        layer_index=1,
        rope_theta=10000.0,
        rope_layout="half",
        subln_scale=False,
        pairing="split",
    )
    x = draw(2, 7, 24)
    layer.build(x.shape)
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
    agree(
        layer,
        lambda x: layer(x, use_causal_mask=True),
        lambda x: peer(x, (cos, sin), additive[None, None])[0],
        [
            *(
                (getattr(layer, f"{o}_projection").kernel, getattr(peer, t).weight, np.transpose)
                for o, t in names.items()
            ),
            *vector_pairs(layer, peer),
        ],
        [x],
        oracle=f"transformers DiffLlamaAttention {transformers.__version__}",
        tolerance=5e-5,
    )


def test_a_mask_of_each_head_hides_in_both_maps():
    """Oracle: rows of the difference of two maps are zero exactly where a head may not look."""
    x, seen = draw(2, 5, 8), np.random.default_rng(1).random((2, 2, 5, 5)) > 0.4
    seen |= np.eye(5, dtype=bool)
    layer = DifferentialAttention(2)
    layer.build(x.shape)
    _, scores = layer(x, attention_mask=seen, return_attention_scores=True)
    np.testing.assert_array_equal(array(scores) != 0, seen)
