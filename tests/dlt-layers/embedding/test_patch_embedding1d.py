"""PatchEmbedding1d against torch.unfold, TiRex's input layout, and its rules of padding."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.embedding.patch_embedding1d import PatchEmbedding1d

NAME = "dl_techniques>PatchEmbedding1d"


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def randomized(layer, shape):
    layer.build(shape)
    layer.set_weights([draw(*w.shape, seed=1) for w in layer.weights])
    return layer


def patches(x, size, step):
    count = (x.shape[1] - size) // step + 1
    return np.stack([x[:, i * step : i * step + size] for i in range(count)], 1)


def expected(layer, x, size, step):
    kernel, bias = (array(w).astype("float64") for w in layer.weights)
    cut = patches(x.astype("float64"), size, step)
    return cut.reshape(*cut.shape[:2], -1) @ kernel + bias


@pytest.mark.parametrize(
    ("length", "size", "step", "padding", "before", "after"),
    [
        (9, 4, 4, "valid", 0, 0),
        (9, 4, 3, "valid", 0, 0),
        (9, 4, 4, "causal", 3, 0),
        (9, 4, 3, "causal", 1, 0),
        (3, 5, 2, "causal", 2, 0),
        (9, 4, 4, "same", 1, 2),
        (10, 3, 2, "same", 0, 1),
    ],
)
def test_tokens_are_projected_patches(length, size, step, padding, before, after, verify):
    x = draw(2, length, 3)
    layer = randomized(PatchEmbedding1d(size, 5, stride=step, padding=padding), x.shape)
    padded = np.pad(x, ((0, 0), (before, after), (0, 0)))
    actual = layer(x)
    verify(NAME, "slicing in float64", actual, expected(layer, padded, size, step))
    assert tuple(actual.shape) == layer.compute_output_shape(x.shape)
    inputs = keras.Input((None, 3))
    dynamic = keras.Model(inputs, layer(inputs))
    np.testing.assert_allclose(array(dynamic(x)), array(actual), atol=1e-6)


def test_independent_channels_share_the_projection():
    x = draw(2, 8, 3)
    layer = randomized(PatchEmbedding1d(4, 5, stride=2, channel_independent=True), x.shape)
    y = array(layer(x))
    assert y.shape == layer.compute_output_shape(x.shape) == (2, 3, 3, 5)
    for channel in range(3):
        alone = expected(layer, x[:, :, channel : channel + 1], 4, 2)
        np.testing.assert_allclose(y[:, channel], alone, atol=1e-5)


@pytest.mark.parametrize("hidden_dim", [None, 7])
def test_missing_values_differ_from_zeros(hidden_dim):
    x = draw(2, 7, 1)
    x[0, 3] = np.nan
    layer = PatchEmbedding1d(4, 5, missing_value_mask=True, hidden_dim=hidden_dim)
    y = array(randomized(layer, x.shape)(x))
    padded = np.pad(x, ((0, 0), (1, 0), (0, 0)), constant_values=np.nan)[..., 0].reshape(2, 2, 4)
    told = np.concatenate([np.nan_to_num(padded), ~np.isnan(padded)], -1).astype("float32")
    np.testing.assert_allclose(y, array(layer.projection(told)), atol=1e-5)
    assert np.isfinite(y).all()


def test_masked_samples_do_not_matter_and_tokens_know():
    x = draw(2, 8, 3)
    real = np.array([[1] * 8, [0, 0, 0, 0, 0, 1, 1, 1]], bool)
    layer = PatchEmbedding1d(4, 5)
    moved = (x + 10 * ~real[:, :, None]).astype("float32")
    np.testing.assert_allclose(array(layer(x, mask=real)), array(layer(moved, mask=real)))
    x[1, :5] = 0
    tokens = keras.layers.Masking()(x)
    mask = array(layer.compute_mask(tokens, real))
    np.testing.assert_array_equal(mask, [[1, 1], [0, 1]])


@pytest.mark.oracle
@pytest.mark.parametrize("step", [2, 4])
def test_equals_torch_unfold(step, agree):
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.zeros(5, 12))
    bias = torch.nn.Parameter(torch.zeros(5))
    x = draw(2, 11, 3)
    layer = PatchEmbedding1d(4, 5, stride=step, padding="valid")
    layer.build(x.shape)

    def theirs(x):
        cut = x.unfold(1, 4, step).flatten(2)  # (B, N, C P)
        return torch.nn.functional.linear(cut, weight, bias)

    agree(
        layer,
        layer,
        theirs,
        [
            (
                layer.projection.kernel,
                weight,
                lambda w: w.reshape(5, 3, 4).transpose(2, 1, 0).reshape(12, 5),
            ),
            (layer.projection.bias, bias, np.asarray),
        ],
        [x],
        oracle=f"torch.Tensor.unfold {torch.__version__}",
    )
