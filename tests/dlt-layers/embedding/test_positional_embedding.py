"""PositionalEmbedding against its formula, keras-hub, and torch's interpolation."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.embedding.positional_embedding import PositionalEmbedding

NAME = "dl_techniques>PositionalEmbedding"


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("width", [6, 7])
@pytest.mark.parametrize("start", [0, 900])
def test_sinusoids_equal_the_formula(width, start, verify):
    x = draw(2, 5, width)
    p, i = np.arange(start, start + 5)[:, None], np.arange(width) // 2
    angles = p / 10000.0 ** (2 * i / width)
    expected = x + np.where(np.arange(width) % 2, np.cos(angles), np.sin(angles))
    layer = PositionalEmbedding(1000, kind="sinusoidal")
    verify(NAME, "closed form in float64", layer(x, start_index=start), expected)


def test_a_learned_table_adds_its_rows():
    x = draw(2, 3, 4)
    layer = PositionalEmbedding(9)
    layer.build(x.shape)
    table = array(layer.embeddings)
    np.testing.assert_allclose(array(layer(x, start_index=2)), x + table[2:5], atol=1e-6)
    traced = array(layer(x, start_index=ops.convert_to_tensor(2)))
    np.testing.assert_allclose(traced, x + table[2:5], atol=1e-6)
    inputs = keras.Input((None, 4))
    np.testing.assert_allclose(
        array(keras.Model(inputs, layer(inputs))(x)), x + table[:3], atol=1e-6
    )


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_positions_beyond_the_table_are_refused(kind):
    layer = PositionalEmbedding(4, kind=kind)
    layer.build((None, None, 2))
    with pytest.raises(ValueError, match="5 tokens from start_index=0, max_seq_len=4"):
        layer(draw(1, 5, 2))
    with pytest.raises(ValueError, match="start_index=3"):
        layer(draw(1, 2, 2), start_index=3)


def test_a_grid_is_added_as_it_is_or_resized():
    layer = PositionalEmbedding(grid_size=(2, 3))
    x = draw(1, 2, 3, 4)
    layer.build(x.shape)
    table = array(layer.embeddings)
    np.testing.assert_allclose(array(layer(x)), x + table, atol=1e-6)
    large = np.zeros((1, 4, 6, 4), "float32")
    resized = array(ops.image.resize(table, (4, 6), data_format="channels_last"))
    np.testing.assert_allclose(array(layer(large))[0], resized, atol=1e-6)
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, layer(inputs))
    np.testing.assert_allclose(array(model(large))[0], resized, atol=1e-6)


def test_bicubic_grids_keep_their_mean():
    layer = PositionalEmbedding(grid_size=(4, 4), interpolation="bicubic")
    layer.build((None, None, None, 1))
    layer.embeddings.assign(np.full((4, 4, 1), 2.0))
    np.testing.assert_allclose(array(layer(np.zeros((1, 7, 5, 1)))), 2.0, atol=1e-5)


@pytest.mark.parametrize("antialias", [False, True], ids=["plain", "antialias"])
@pytest.mark.parametrize("size", [(4, 6), (7, 5), (2, 3), (3, 9), (1, 1)], ids=str)
def test_bicubic_matrices_equal_torch(antialias, size, verify):
    torch = pytest.importorskip("torch")
    name = "bicubic_antialias" if antialias else "bicubic_plain"
    layer = PositionalEmbedding(grid_size=(4, 6), interpolation=name)
    layer.build((None, None, None, 3))
    layer.embeddings.assign(draw(4, 6, 3))
    table = torch.tensor(array(layer.embeddings)).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(table, size, mode="bicubic", antialias=antialias)
    actual = layer(np.zeros((1, *size, 3), "float32"))
    oracle = f"torch.nn.functional.interpolate {torch.__version__}"
    verify(
        "dl_techniques>PositionalEmbedding", oracle, actual, expected.permute(0, 2, 3, 1).numpy()
    )


def test_bicubic_matrices_of_unknown_sizes():
    layer = PositionalEmbedding(grid_size=(4, 4), interpolation="bicubic_plain")
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, layer(inputs))
    x = np.zeros((1, 5, 3, 2), "float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), array(layer(x)), atol=1e-6)


def test_prefix_tokens_have_vectors_of_their_own():
    layer = PositionalEmbedding(grid_size=(2, 3), prefix_tokens=2, interpolation="bicubic_plain")
    layer.build((None, 8, 4))
    table = array(layer.embeddings)
    own = array(layer(np.zeros((1, 8, 4), "float32")))[0]
    np.testing.assert_array_equal(own[:2], array(layer.prefix_embeddings))
    np.testing.assert_array_equal(own[2:], table.reshape(6, 4))
    maps = PositionalEmbedding(grid_size=(2, 3), interpolation="bicubic_plain")
    maps.build((None, None, None, 4))
    maps.embeddings.assign(table)
    for tokens, shape, grid_shape in ((11, (3, 3), None), (10, (4, 2), (4, 2))):
        found = array(layer(np.zeros((1, tokens, 4), "float32"), grid_shape=grid_shape))[0]
        resized = array(maps(np.zeros((1, *shape, 4), "float32")))[0].reshape(-1, 4)
        np.testing.assert_allclose(found[2:], resized, atol=1e-6)
    for tokens, grid_shape in ((9, None), (8, (2, 2)), (2, None)):
        with pytest.raises(ValueError, match="prefix_tokens=2"):
            layer(np.zeros((1, tokens, 4), "float32"), grid_shape=grid_shape)


def test_masks_pass():
    layer = PositionalEmbedding(9)
    inputs = keras.Input((9, 2))
    masked = keras.layers.Masking()(inputs)
    assert layer.compute_mask(masked, "the mask") == "the mask"
    pooled = keras.layers.GlobalAveragePooling1D()(layer(masked))
    model = keras.Model(inputs, pooled)
    x = np.ones((1, 9, 2), "float32")
    x[0, 4:] = 0
    table = array(layer.embeddings)
    np.testing.assert_allclose(array(model(x))[0], 1 + table[:4].mean(0), atol=1e-5)


def test_dropout_acts_in_training_only():
    layer = PositionalEmbedding(9, kind="sinusoidal", dropout=0.5, seed=1)
    x = np.full((1, 9, 200), 9.0, "float32")
    assert 0.4 < np.mean(array(layer(x, training=True)) == 0) < 0.6
    assert (array(layer(x)) != 0).all()


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_equals_keras_hub(kind, verify):
    hub = pytest.importorskip("keras_hub")
    x = draw(2, 7, 6)
    layer = PositionalEmbedding(11, kind=kind)
    layer.build(x.shape)
    if kind == "learned":
        peer = hub.layers.PositionEmbedding(11)
        peer.build(x.shape)
        peer.set_weights([array(layer.embeddings)])
    else:
        peer = hub.layers.SinePositionEncoding()
    oracle = f"keras_hub.layers.{type(peer).__name__} {hub.__version__}"
    verify(NAME, oracle, array(layer(x, start_index=2)), x + array(peer(x, start_index=2)))


@pytest.mark.oracle
@pytest.mark.parametrize("size", [(5, 9), (2, 2), (3, 4)])
def test_resized_grids_equal_torch(size, agree):
    torch = pytest.importorskip("torch")
    table = torch.nn.Parameter(torch.zeros(3, 4, 6))
    x = draw(2, *size, 6)
    layer = PositionalEmbedding(grid_size=(3, 4))
    layer.build(x.shape)

    def theirs(x):
        grid = torch.nn.functional.interpolate(table.permute(2, 0, 1)[None], size, mode="bilinear")
        return x + grid.permute(0, 2, 3, 1)

    agree(
        layer,
        layer,
        theirs,
        [(layer.embeddings, table, np.asarray)],
        [x],
        oracle=f"torch.nn.functional.interpolate {torch.__version__}",
    )
