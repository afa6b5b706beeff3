"""HierarchicalCapsuleStem against naive loops, and the independence of its patches."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.embedding import HierarchicalCapsuleStem


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize(("patch", "size"), [(4, (8, 4)), (8, (8, 16)), (16, (32, 16))])
def test_equals_naive_loops(patch, size, verify, routed):
    x = draw(2, *size, 3)
    stem = HierarchicalCapsuleStem(6, size, patch, num_capsules=3, capsule_dim=2)
    actual = array(stem(x))
    kernel, bias = (array(w).astype("float64") for w in stem.primary.conv.weights)
    rows, columns = (side // 4 for side in size)
    cells = x.reshape(2, rows, 4, columns, 4, 3)
    s = np.einsum("brkclf,klfd->brcd", cells, kernel).reshape(2, rows, columns, 3, 2)
    square = np.sum((s + bias.reshape(3, 2)) ** 2, axis=-1, keepdims=True)
    capsules = s * np.sqrt(square) / (1 + square)
    for scale, block in enumerate(stem.blocks):
        if scale:
            rows, columns = rows // 2, columns // 2
            capsules = capsules.reshape(2, rows, 2, columns, 2, 3, 2).mean(axis=(2, 4))
        u = capsules.reshape(-1, 3, 2)
        capsules = routed(u, array(block.routing.kernel)).reshape(2, rows, columns, 3, 2)
        assert np.linalg.norm(capsules, axis=-1).max() < 1
    assert (rows, columns) == (size[0] // patch, size[1] // patch)
    features = capsules.reshape(2, rows * columns, 6)
    expected = features @ array(stem.projection.kernel) + array(stem.projection.bias)
    name, oracle = "dl_techniques>HierarchicalCapsuleStem", "naive loops in float64"
    verify(name, oracle, actual, expected, tolerance=5e-5)


@pytest.mark.parametrize("patch", [4, 8, 16])
@pytest.mark.parametrize("use_layer_norm", [False, True])
def test_a_patch_changes_its_own_token_only(patch, use_layer_norm):
    x = draw(1, 2 * patch, 3 * patch, 2)
    stem = HierarchicalCapsuleStem(12, None, patch, use_layer_norm=use_layer_norm)
    before = array(stem(x))
    x[:, patch:, patch : 2 * patch] += draw(1, patch, patch, 2) + 1
    after = array(stem(x))
    changed = np.abs(after - before).max((0, 2))
    assert changed[4] > 1e-2
    assert np.delete(changed, 4).max() <= 1e-6


@pytest.mark.parametrize(("n", "c", "centred"), [(8, 8, True), (16, 4, False), (4, 2, False)])
def test_lengths_neither_vanish_nor_saturate_from_scale_to_scale(n, c, centred):
    keras.utils.set_random_seed(0)
    x = draw(8, 32, 32, 3)
    x = x if centred else 1 / (1 + np.exp(-2 * x))
    stem = HierarchicalCapsuleStem(8, 32, 32, num_capsules=n, capsule_dim=c)
    stem.build(x.shape)
    capsules = ops.reshape(stem.primary(x), (8, 8, 8, n * c))
    for scale, block in enumerate(stem.blocks):
        capsules = stem.pool(capsules) if scale else capsules
        v = block(ops.reshape(capsules, (-1, n, c)))
        assert 0.1 < np.linalg.norm(array(v), axis=-1).mean() < 0.95, scale
        capsules = ops.reshape(v, ops.shape(capsules))


def test_the_map_is_the_sequence_in_two_dimensions_for_any_size():
    stem = HierarchicalCapsuleStem(8, patch_size=8, num_capsules=3, capsule_dim=2, flatten=False)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, stem(inputs))
    assert model.output_shape == (None, None, None, 8)
    for size in ((16, 24), (8, 8)):
        x = draw(2, *size, 3)
        y = array(model(x))
        stem.flatten = True
        np.testing.assert_allclose(y.reshape(2, -1, 8), array(stem(x)), atol=1e-6)
        stem.flatten = False


def test_a_declared_size_makes_the_number_of_tokens_known():
    stem = HierarchicalCapsuleStem(8, (16, 24), 8, num_capsules=3, capsule_dim=2)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, stem(inputs))
    assert model.output_shape == (None, 6, 8)
    assert tuple(model(draw(2, 16, 24, 3)).shape) == (2, 6, 8)
    with pytest.raises(ValueError, match="img_size"):
        stem(draw(2, 24, 16, 3))
