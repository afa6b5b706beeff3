"""RotaryPositionEmbedding: complex rotation in float64, its properties, and three peers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.embedding.rotary_position_embedding import RotaryPositionEmbedding

NAME = "dl_techniques>RotaryPositionEmbedding"


def tokens(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def rotated(x, positions, theta=10000.0, width=None, layout="interleaved"):
    """Complex multiplication in float64; x is (batch, tokens, heads, features)."""
    x = x.astype("float64")
    width = width or x.shape[-1]
    angles = np.asarray(positions, "float64")[..., None] * theta ** (
        -np.arange(0, width, 2) / width
    )
    angles = angles[..., None, :] if angles.ndim == 3 else angles[None, :, None]
    part = x[..., :width]
    even, odd = (
        (part[..., ::2], part[..., 1::2])
        if layout == "interleaved"
        else (part[..., : width // 2], part[..., width // 2 :])
    )
    z = (even + 1j * odd) * np.exp(1j * angles)
    pair = [z.real, z.imag]
    part = (
        np.stack(pair, -1).reshape(part.shape)
        if layout == "interleaved"
        else np.concatenate(pair, -1)
    )
    return np.concatenate([part, x[..., width:]], -1)


@pytest.mark.parametrize("layout", ["interleaved", "half"])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.7])
@pytest.mark.parametrize("offset", [0, 3, -2])
def test_rotates_as_complex_numbers_do(layout, share, offset, verify):
    x = tokens(2, 5, 3, 8)
    layer = RotaryPositionEmbedding(rope_percentage=share, rope_theta=50.0, layout=layout)
    width = {1.0: 8, 0.5: 4, 0.7: 4}[share]  # rounded down to an even number
    expected = rotated(x, np.arange(5) + offset, 50.0, width, layout)
    verify(NAME, "complex rotation in float64", layer(x, offset=offset), expected)


def test_positions_may_be_given_for_each_sequence(verify):
    x, positions = tokens(2, 4, 2, 6), np.array([[5, 0, 3, 9], [1, 1, -2, 7]])
    actual = RotaryPositionEmbedding()(x, positions=positions)
    verify(NAME, "complex rotation in float64", actual, rotated(x, positions))


def test_far_positions_keep_their_digits(verify):
    x = tokens(1, 1, 1, 64)
    layer = RotaryPositionEmbedding(max_seq_len=100_000)
    verify(NAME, "complex rotation in float64", layer(x, offset=99_999), rotated(x, [99_999]))


def test_products_depend_on_the_distance_alone():
    q, k = tokens(1, 1, 1, 8), tokens(1, 1, 1, 8, seed=1)
    layer = RotaryPositionEmbedding()
    products = [
        np.sum(array(layer(q, offset=m + 7)) * array(layer(k, offset=m))) for m in (0, 11, 100)
    ]
    np.testing.assert_allclose(products, products[0], rtol=1e-4)


def test_the_opposite_offset_undoes_the_rotation():
    x = tokens(1, 1, 3, 8)
    layer = RotaryPositionEmbedding()
    np.testing.assert_allclose(array(layer(layer(x, offset=40), offset=-40)), x, atol=1e-6)


def test_layouts_differ_by_a_permutation_of_the_features():
    x = tokens(2, 5, 3, 8)
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    half = array(RotaryPositionEmbedding(layout="half")(x[..., order]))
    np.testing.assert_allclose(half, array(RotaryPositionEmbedding()(x))[..., order], atol=1e-6)


def test_heads_may_come_before_tokens():
    x = tokens(2, 5, 3, 4)
    swapped = array(RotaryPositionEmbedding(seq_axis=2)(x.transpose(0, 2, 1, 3)))
    expected = array(RotaryPositionEmbedding()(x)).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(swapped, expected, atol=1e-6)


def test_half_precision_counts_beyond_2048():
    x = tokens(1, 1, 2, 8).astype("float16")
    layer = RotaryPositionEmbedding(max_seq_len=5000, dtype="float16")
    half = array(layer(x, offset=4095))
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, rotated(x, [4095]), atol=3e-3)


def test_too_many_tokens_are_refused():
    layer = RotaryPositionEmbedding(max_seq_len=4)
    assert layer(tokens(1, 4, 1, 2)).shape == (1, 4, 1, 2)
    with pytest.raises(ValueError, match="5 tokens from offset=0, max_seq_len=4"):
        layer(tokens(1, 5, 1, 2))
    with pytest.raises(ValueError, match="offset=3"):
        layer(tokens(1, 2, 1, 2), offset=3)


def test_the_number_of_tokens_may_be_unknown():
    inputs = keras.Input((None, 2, 4))
    model = keras.Model(inputs, RotaryPositionEmbedding()(inputs))
    x = tokens(2, 7, 2, 4)
    np.testing.assert_allclose(array(model(x)), rotated(x, np.arange(7)), atol=1e-5)


def gradient(layer, x, g, **call):
    return value_and_gradients(lambda x, g: ops.sum(layer(x, **call) * g), [], [x, g]).inputs[0]


@pytest.mark.oracle
@pytest.mark.parametrize(("width", "offset"), [(8, 0), (4, 5)])
def test_equals_rotary_embedding_torch(width, offset, verify):
    torch = pytest.importorskip("torch")
    peers = pytest.importorskip("rotary_embedding_torch")
    x, g = tokens(2, 3, 7, 8), tokens(2, 3, 7, 8, seed=1)
    peer = peers.RotaryEmbedding(dim=width)
    x_peer = torch.tensor(x, requires_grad=True)
    y_peer = peer.rotate_queries_or_keys(x_peer, offset=offset)
    (y_peer * torch.tensor(g)).sum().backward()
    layer = RotaryPositionEmbedding(seq_axis=2, rope_percentage=width / 8)
    verify(NAME, "rotary-embedding-torch", array(layer(x, offset=offset)), y_peer)
    ours = gradient(layer, x, g, offset=offset)
    verify(NAME, "rotary-embedding-torch", ours, x_peer.grad, what="gradient of inputs")


@pytest.mark.oracle
@pytest.mark.parametrize("share", [1.0, 0.25])
def test_equals_transformers(share, transformers, verify):
    import torch
    from transformers.models.gpt_neox import modeling_gpt_neox as neox
    from transformers.models.llama import modeling_llama as llama

    x, g = tokens(2, 3, 7, 16), tokens(2, 3, 7, 16, seed=1)
    x_peer = torch.tensor(x, requires_grad=True)
    config, family = (
        (transformers.LlamaConfig(hidden_size=48, num_attention_heads=3, head_dim=16), llama)
        if share == 1
        else (transformers.GPTNeoXConfig(hidden_size=48, num_attention_heads=3), neox)
    )
    table = llama.LlamaRotaryEmbedding if share == 1 else neox.GPTNeoXRotaryEmbedding
    positions = torch.arange(7)[None] + 2
    cos, sin = table(config)(x_peer, positions)
    y_peer, _ = family.apply_rotary_pos_emb(x_peer, x_peer, cos, sin)
    (y_peer * torch.tensor(g)).sum().backward()
    layer = RotaryPositionEmbedding(layout="half", seq_axis=2, rope_percentage=share)
    oracle = f"transformers {family.__name__.rpartition('.')[2]} {transformers.__version__}"
    verify(NAME, oracle, array(layer(x, offset=2)), y_peer)
    ours = gradient(layer, x, g, offset=2)
    verify(NAME, oracle, ours, x_peer.grad, what="gradient of inputs")


@pytest.mark.oracle
def test_equals_keras_hub(verify):
    hub = pytest.importorskip("keras_hub")
    x = tokens(2, 7, 3, 8)
    actual = array(RotaryPositionEmbedding(layout="half")(x))
    verify(
        NAME,
        f"keras_hub.layers.RotaryEmbedding {hub.__version__}",
        actual,
        array(hub.layers.RotaryEmbedding()(x)),
    )
