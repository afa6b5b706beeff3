"""GroupQueryAttention: its own invariants, Keras's layer and transformers' LlamaAttention."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import whole_call
from dl_techniques.layers.attention.group_query_attention import GroupQueryAttention


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def run(function, *inputs):
    return ops.convert_to_numpy(whole_call(function)(*inputs))


ROTARY = {"num_heads": 4, "num_kv_heads": 2, "rope_theta": 100.0, "qk_norm": True}


def rotary(**config):
    layer = GroupQueryAttention(**ROTARY, **config)
    layer.build((None, None, 8))
    return layer


@pytest.mark.parametrize("config", [{"sliding_window": 3}, {"rope_layout": "half"}])
def test_decoding_with_a_cache_equals_the_whole_sequence(config):
    x = draw(2, 5, 8)
    layer = rotary(**config)

    def decode(x, cache):
        outputs = []
        for start, end in ((0, 3), (3, 4), (4, 5)):
            output, cache = layer(x[:, start:end], cache=cache)
            outputs.append(output)
        return ops.concatenate(outputs, 1), cache

    whole = run(lambda x: layer(x, use_causal_mask=True), x)
    output, cache = whole_call(decode)(x, layer.make_cache(batch_size=2, length=7))
    np.testing.assert_allclose(array(output), whole, atol=1e-5)
    assert int(cache["index"]) == 5


def test_a_cache_remembers_which_tokens_were_padding():
    x = draw(2, 5, 8)
    padding = np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
    layer = rotary()

    def decode(x, cache):
        _, cache = layer(x[:, :4], cache=cache, padding_mask=padding[:, :4])
        return layer(x[:, 4:], cache=cache)[0]

    whole = run(lambda x: layer(x, use_causal_mask=True, padding_mask=padding), x)
    last = run(decode, x, layer.make_cache(2, 5))
    np.testing.assert_allclose(last[:, 0], whole[:, 4], atol=1e-5)
    with pytest.raises(ValueError, match="holds 5 tokens"):
        run(lambda x, cache: layer(x, cache=cache), draw(2, 6, 8), layer.make_cache(2, 5))


def test_queries_count_as_the_last_tokens():
    x = draw(2, 5, 8)
    layer = rotary()
    whole = run(lambda x: layer(x, use_causal_mask=True), x)
    tail = run(lambda x: layer(x[:, -3:], x, use_causal_mask=True), x)
    np.testing.assert_allclose(tail, whole[:, -3:], atol=1e-5)


def test_only_the_distance_of_positions_matters():
    x = draw(2, 5, 8)
    layer = rotary()
    shifted = run(lambda x: layer(x, positions=np.arange(5) + 9), x)
    np.testing.assert_allclose(shifted, run(layer, x), atol=1e-5)


def test_given_positions_are_those_of_all_tokens():
    x = draw(1, 4, 8)
    layer = rotary()
    order = [2, 0, 3, 1]
    shuffled = run(lambda x: layer(x, positions=np.array([order])), x[:, order])
    np.testing.assert_allclose(shuffled, run(layer, x)[:, order], atol=1e-5)


@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_window_hides_distant_tokens(window):
    layer = GroupQueryAttention(2, 1, sliding_window=window)
    x = draw(1, 6, 4)
    distance = np.arange(6)[:, None] - np.arange(6)[None]
    _, scores = layer(x, return_attention_scores=True)
    seen = np.abs(distance) < window
    assert ((array(scores)[0] > 0) == seen[None]).all()
    _, scores = layer(x, return_attention_scores=True, use_causal_mask=True)
    assert ((array(scores)[0] > 0) == (seen & (distance >= 0))[None]).all()


def test_masks_of_the_tokens_hide_padding():
    layer = GroupQueryAttention(4, 1, rope_theta=100.0)
    tokens = keras.Input((None, 8))
    masked = keras.layers.Masking()(tokens)
    outputs = layer(masked, return_attention_scores=True)
    model = keras.Model(tokens, outputs)
    x = draw(2, 6, 8)
    x[1, 4:] = 0
    y, scores = model.predict(x, verbose=0)
    assert (scores[1, :, :, 4:] == 0).all()
    assert (scores[0] > 0).all()
    real = np.any(x != 0, -1)
    explicit = run(lambda x: layer(x, padding_mask=real), x)
    np.testing.assert_allclose(y, explicit, atol=1e-6)
    short = run(layer, x[1:, :4])
    np.testing.assert_allclose(y[1:, :4], short, atol=1e-5)


def test_masks_also_arrive_beside_an_attention_mask():
    layer = GroupQueryAttention(2, 2)
    x = draw(1, 4, 4)
    x[0, 3] = 0
    masked = keras.layers.Masking()(x)
    _, scores = layer(masked, attention_mask=np.tril(np.ones((4, 4))), return_attention_scores=True)
    assert (array(scores)[0, :, :, 3] == 0).all()
    assert (array(scores)[0, :, 0, 1:] == 0).all()


def test_the_alias_is_the_component():
    from dl_techniques.core import declaration_of

    assert "dl_techniques>GroupedQueryAttention" in declaration_of(GroupQueryAttention).aliases


def dense_pairs(layer, bias):
    """Our projections with those of a peer that names them as transformers does."""

    def pairs(peer):
        names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
        for ours, theirs in names.items():
            dense = getattr(layer, f"{ours}_projection")
            yield dense.kernel, getattr(peer, theirs).weight, np.transpose
            if bias:
                yield dense.bias, getattr(peer, theirs).bias, np.asarray

    return pairs


@pytest.mark.oracle
@pytest.mark.parametrize(("kv_heads", "bias"), [(2, False), (1, False), (4, True)])
def test_equals_llama(kv_heads, bias, transformers, agree):
    import torch
    from transformers.models.llama import modeling_llama as llama

    config = transformers.LlamaConfig(
        hidden_size=20,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        head_dim=6,
        attention_bias=bias,
        attn_implementation="eager",
    )
    peer = llama.LlamaAttention(config, layer_idx=0).eval()
    cos, sin = llama.LlamaRotaryEmbedding(config)(torch.zeros(1), torch.arange(7)[None])
    real = np.array([[1] * 7, [0, 0, 1, 1, 1, 1, 1]], bool)  # padded on the left
    seen = np.tri(7, dtype=bool)[None] & real[:, None]
    additive = torch.where(torch.tensor(seen)[:, None], 0.0, torch.finfo(torch.float32).min)
    layer = GroupQueryAttention(
        4, kv_heads, head_dim=6, rope_theta=10000.0, rope_layout="half", use_bias=bias
    )
    x = draw(2, 7, 20)
    layer.build(x.shape)
    agree(
        layer,
        lambda x: layer(x, use_causal_mask=True, padding_mask=real),
        lambda x: peer(x, position_embeddings=(cos, sin), attention_mask=additive)[0],
        dense_pairs(layer, bias)(peer),
        [x],
        keep=real[:, :, None],
        oracle=f"transformers LlamaAttention {transformers.__version__}",
    )


@pytest.mark.oracle
@pytest.mark.parametrize("kv_heads", [1, 3])
def test_equals_keras_with_cross_attention(kv_heads, verify):
    layer = GroupQueryAttention(6, kv_heads, head_dim=4, use_bias=True)
    peer = keras.layers.GroupQueryAttention(4, 6, kv_heads)
    query, value = draw(2, 5, 8), draw(2, 7, 9, seed=1)
    mask = np.random.default_rng(2).random((2, 5, 7)) > 0.3
    mask[:, :, 0] = True
    peer.build(query.shape, value.shape)
    layer.build(query.shape, value.shape)
    rng = np.random.default_rng(3)
    for ours, theirs in zip(layer.weights, peer.weights, strict=True):
        weight = rng.normal(size=theirs.shape)
        theirs.assign(weight)
        ours.assign(weight.reshape(ours.shape))
    verify(
        "dl_techniques>GroupQueryAttention",
        f"keras.layers.GroupQueryAttention {keras.__version__}",
        run(lambda q, v: layer(q, v, attention_mask=mask), query, value),
        run(lambda q, v: peer(q, v, attention_mask=mask), query, value),
        tolerance=2e-5,
    )


def test_one_kernel_for_three_projections():
    config = {"num_heads": 4, "num_kv_heads": 2, "use_bias": True, "qk_norm": True}
    apart = GroupQueryAttention(**config)
    fused = GroupQueryAttention(**config, fused_projections=True)
    x = draw(2, 5, 8)
    apart.build(x.shape)
    fused.build(x.shape)
    projections = (apart.query_projection, apart.key_projection, apart.value_projection)
    kernels, biases = zip(*(part.get_weights() for part in projections), strict=True)
    joined = [np.concatenate(parts, axis=-1) for parts in (kernels, biases)]
    fused.fused_projection.set_weights(joined)
    fused.output_projection.set_weights(apart.output_projection.get_weights())
    ours, theirs = (array(layer(x, use_causal_mask=True)) for layer in (fused, apart))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="fused_projections"):
        fused(x, x)
