"""PatchEmbedding against unfolding by hand and timm."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.embedding.patch_embedding import PatchEmbedding


def image(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("patch", [2, (2, 3)])
def test_tokens_are_projected_patches_in_row_major_order(patch, verify):
    x = image(2, 4, 6, 3)
    layer = PatchEmbedding(patch, 5)
    layer.build(x.shape)
    layer.set_weights([image(*w.shape, seed=1) for w in layer.weights])
    rows, columns = (patch, patch) if isinstance(patch, int) else patch
    unfolded = x.reshape(2, 4 // rows, rows, 6 // columns, columns, 3).transpose(0, 1, 3, 2, 4, 5)
    unfolded = unfolded.reshape(2, -1, rows * columns * 3).astype("float64")
    kernel, bias = (ops.convert_to_numpy(w) for w in layer.weights)
    expected = unfolded @ kernel.reshape(-1, 5) + bias
    verify("dl_techniques>PatchEmbedding", "unfolding in float64", layer(x), expected)


def test_padding_equals_an_image_with_zeros_at_the_end():
    x = image(2, 5, 3, 2)
    layer = PatchEmbedding(4, 3, strict_size="pad")
    padded = np.pad(x, ((0, 0), (0, 3), (0, 1), (0, 0)))
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x)), ops.convert_to_numpy(layer(padded)), rtol=1e-5
    )
    assert layer.compute_output_shape((2, 5, 3, 2)) == (2, 2, 3)


def test_the_map_is_the_sequence_in_two_dimensions():
    x = image(1, 4, 6, 2)
    sequence, tokens = PatchEmbedding(2, 3, norm="RMSNorm"), PatchEmbedding(2, 3, flatten=False)
    tokens.norm_layer = None
    y = ops.convert_to_numpy(sequence(x))
    tokens(x)
    tokens.set_weights(sequence.get_weights()[:2])
    y_map = ops.convert_to_numpy(sequence.norm_layer(tokens(x)))
    np.testing.assert_allclose(y, y_map.reshape(1, 6, 3), rtol=1e-5)


@pytest.mark.parametrize("strict_size", [True, "pad"])
def test_height_and_width_may_be_unknown(strict_size):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, PatchEmbedding(2, 4, strict_size=strict_size)(inputs))
    assert model.output_shape == (None, None, 4)
    for height, width in ((4, 6), (8, 2)):
        assert model(image(1, height, width, 3)).shape == (1, height * width // 4, 4)
    if strict_size == "pad":
        assert model(image(1, 3, 5, 3)).shape == (1, 6, 4)


def test_an_image_that_turns_out_to_be_cut_is_refused():
    layer = PatchEmbedding(4, 3)
    layer.build((None, None, None, 1))
    with pytest.raises(ValueError, match=r"whole number of patches.*\(1, 6, 8, 1\)"):
        layer(image(1, 6, 8, 1))


@pytest.mark.oracle
def test_equals_timm(timm, agree):
    from timm.layers import PatchEmbed

    peer = PatchEmbed(img_size=(12, 8), patch_size=4, in_chans=3, embed_dim=7)
    x = image(2, 12, 8, 3)
    layer = PatchEmbedding(4, 7)
    layer.build(x.shape)
    agree(
        layer,
        layer,
        lambda x: peer(x.permute(0, 3, 1, 2)),
        [
            (layer.projection.kernel, peer.proj.weight, lambda w: w.transpose(2, 3, 1, 0)),
            (layer.projection.bias, peer.proj.bias, np.asarray),
        ],
        [x],
        oracle=f"timm PatchEmbed {timm.__version__}",
    )
