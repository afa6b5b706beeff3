"""HierarchicalCapsuleStem against naive loops, and the independence of its patches."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import whole_call
from dl_techniques.layers.embedding import HierarchicalCapsuleStem


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def run(function, *inputs):
    return ops.convert_to_numpy(whole_call(function)(*inputs))


@pytest.mark.parametrize(("patch", "size"), [(4, (8, 4)), (16, (32, 16))])
def test_equals_naive_loops(patch, size, verify, routed):
    x = draw(2, *size, 3)
    stem = HierarchicalCapsuleStem(6, size, patch, num_capsules=3, capsule_dim=2)
    stem.build(x.shape)
    actual = run(stem, x)
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


@pytest.mark.parametrize(("patch", "use_layer_norm"), [(4, False), (16, True)])
def test_a_patch_changes_its_own_token_only(patch, use_layer_norm):
    keras.utils.set_random_seed(0)
    x = draw(1, 2 * patch, 3 * patch, 3)
    stem = HierarchicalCapsuleStem(
        6, None, patch, num_capsules=3, capsule_dim=2, use_layer_norm=use_layer_norm
    )
    stem.build(x.shape)
    changed = x.copy()
    changed[:, patch:, patch : 2 * patch] += draw(1, patch, patch, 3) + 1
    before, after = run(stem, np.concatenate([x, changed]))
    changed = np.abs(after - before).max(1)
    assert changed[4] > 1e-2
    assert np.delete(changed, 4).max() <= 1e-6


@pytest.mark.parametrize(("n", "c", "centred"), [(8, 8, True), (16, 4, False)])
def test_lengths_neither_vanish_nor_saturate_from_scale_to_scale(n, c, centred):
    keras.utils.set_random_seed(0)
    x = draw(4, 32, 32, 3)
    x = x if centred else 1 / (1 + np.exp(-2 * x))
    stem = HierarchicalCapsuleStem(8, 32, 32, num_capsules=n, capsule_dim=c)
    stem.build(x.shape)

    def lengths(x):
        capsules, means = ops.reshape(stem.primary(x), (4, 8, 8, n * c)), []
        for scale, block in enumerate(stem.blocks):
            capsules = stem.pool(capsules) if scale else capsules
            v = block(ops.reshape(capsules, (-1, n, c)))
            means.append(ops.mean(ops.sqrt(ops.sum(ops.square(v), axis=-1))))
            capsules = ops.reshape(v, ops.shape(capsules))
        return ops.stack(means)

    means = run(lengths, x)
    assert len(means) == 4
    assert ((means > 0.1) & (means < 0.95)).all(), means


def test_the_map_is_the_sequence_in_two_dimensions_for_any_size():
    stem = HierarchicalCapsuleStem(6, patch_size=4, num_capsules=3, capsule_dim=2, flatten=False)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, stem(inputs))
    assert model.output_shape == (None, None, None, 6)
    sequence = HierarchicalCapsuleStem(6, patch_size=4, num_capsules=3, capsule_dim=2)
    sequence.build((None, None, None, 3))
    sequence.set_weights(stem.get_weights())
    for size in ((8, 12), (4, 4)):
        x = draw(2, *size, 3)
        y = model.predict(x, verbose=0)
        assert y.shape == (2, size[0] // 4, size[1] // 4, 6)
        np.testing.assert_allclose(y.reshape(2, -1, 6), run(sequence, x), atol=1e-6)


def test_a_declared_size_makes_the_number_of_tokens_known():
    stem = HierarchicalCapsuleStem(8, (16, 24), 8, num_capsules=3, capsule_dim=2)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, stem(inputs))
    assert model.output_shape == (None, 6, 8)
    assert tuple(model(draw(2, 16, 24, 3)).shape) == (2, 6, 8)
    with pytest.raises(ValueError, match="img_size"):
        stem(draw(2, 24, 16, 3))
