"""HierarchicalMLPStem against a torch composition, and the independence of its patches."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.embedding.hierarchical_mlp_stem import HierarchicalMLPStem


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("patch", [8, 16, 32])
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_a_patch_changes_its_own_token_only(patch, norm):
    x = draw(1, 2 * patch, 3 * patch, 2)
    layer = HierarchicalMLPStem(32, patch, norm=norm)
    before = array(layer(x))
    x[:, patch:, patch : 2 * patch] += draw(1, patch, patch, 2) + 1
    after = array(layer(x))
    changed = np.abs(after - before).max((0, 2)) > 1e-4
    assert changed.tolist() == [False] * 4 + [True, False]


def test_masking_patches_before_or_after_is_the_same():
    x = draw(2, 16, 16, 3)
    layer = HierarchicalMLPStem(8, 8)
    nothing = array(layer(np.zeros_like(x)))
    hidden = np.zeros((2, 2, 2), bool)
    hidden[0, 1, 0] = hidden[1, 0, 1] = True
    pixels = hidden.repeat(8, 1).repeat(8, 2)[..., None]
    before = array(layer(np.where(pixels, 0, x).astype("float32")))
    after = np.where(hidden.reshape(2, 4, 1), nothing, array(layer(x)))
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_the_map_is_the_sequence_in_two_dimensions_for_any_size():
    layer = HierarchicalMLPStem(8, 8, flatten=False)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layer(inputs))
    x = draw(1, 16, 24, 3)
    assert model.output_shape == (None, None, None, 8)
    y = array(model(x))
    layer.flatten = True
    np.testing.assert_allclose(y.reshape(1, 6, 8), array(layer(x)), atol=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("patch", [8, 16])
def test_equals_torch(patch, agree):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    sides = {8: [4, 2], 16: [4, 2, 2]}[patch]
    widths = [3, *[2] * (len(sides) - 1), 8]
    modules = []
    for i, side in enumerate(sides):
        modules += [nn.Conv2d(widths[i], widths[i + 1], side, side), nn.BatchNorm2d(widths[i + 1])]
        modules += [nn.GELU()] if i < len(sides) - 1 else []
    peer = nn.Sequential(*modules).eval()
    convs = [m for m in modules if isinstance(m, nn.Conv2d)]
    norms = [m for m in modules if isinstance(m, nn.BatchNorm2d)]
    x = draw(2, 2 * patch, patch, 3)
    layer = HierarchicalMLPStem(8, patch)
    layer.build(x.shape)
    pairs = []
    for ours, theirs in zip(layer.convs, convs, strict=True):
        pairs.append((ours.kernel, theirs.weight, lambda w: w.transpose(2, 3, 1, 0)))
        pairs.append((ours.bias, theirs.bias, np.asarray))
    for ours, theirs in zip(layer.norms, norms, strict=True):
        pairs += [
            (ours.gamma, theirs.weight, np.asarray),
            (ours.beta, theirs.bias, np.asarray),
            (ours.moving_mean, theirs.running_mean, np.asarray),
            (ours.moving_variance, theirs.running_var, np.asarray),
        ]
    agree(
        layer,
        layer,
        lambda x: peer(x.permute(0, 3, 1, 2)).flatten(2).mT,
        pairs,
        [x],
        oracle=f"torch.nn composition {torch.__version__}",
        tolerance=5e-5,
    )
