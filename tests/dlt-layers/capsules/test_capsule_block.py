"""CapsuleBlock: routing, dropped capsules, and what layer normalization does to lengths."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.capsules import CapsuleBlock


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def test_without_options_it_is_the_routing(verify, routed):
    u = draw(2, 6, 4)
    block = CapsuleBlock(3, 5, use_bias=True, bias_initializer="ones")
    actual = array(block(u, training=True))
    expected = routed(u, array(block.routing.kernel), 3, np.ones((3, 5)))
    name, oracle = "dl_techniques>CapsuleBlock", "naive loops in float64"
    verify(name, oracle, actual, expected, tolerance=5e-6)


def test_dropout_takes_whole_capsules():
    u = draw(64, 5, 4)
    block = CapsuleBlock(6, 3, dropout_rate=0.25, seed=3)
    routed = array(block(u))
    dropped = array(block(u, training=True))
    factors = dropped / routed
    kept = factors[..., 0] > 0
    np.testing.assert_allclose(
        factors, np.where(kept, 4 / 3, 0)[..., None].repeat(3, -1), rtol=1e-5
    )
    assert 0.65 < kept.mean() < 0.85
    assert 0 < kept.sum(axis=1).min() < kept.sum(axis=1).max()


def test_layer_normalization_gives_all_capsules_one_length():
    u = draw(4, 20, 8)

    def capsules(normed):
        keras.utils.set_random_seed(0)
        return array(CapsuleBlock(10, 16, use_layer_norm=normed)(u)).astype("float64")

    plain, normed = capsules(False), capsules(True)
    assert np.linalg.norm(plain, axis=-1).max() < 1
    # sqrt(16), but for what epsilon takes from a capsule that is nearly silent.
    variance = plain.var(axis=-1)
    expected = 4 * np.sqrt(variance / (variance + 1e-6))
    np.testing.assert_allclose(np.linalg.norm(normed, axis=-1), expected, rtol=1e-4)


@pytest.mark.parametrize("use_layer_norm", [False, True])
def test_masked_capsules_take_no_part(use_layer_norm):
    u = draw(2, 6, 4)
    mask = np.array([[True] * 5 + [False], [True, False] * 3])
    block = CapsuleBlock(3, 5, use_layer_norm=use_layer_norm)
    expected = array(block(np.where(mask[..., None], u, 0)))
    u[~mask] = 9
    np.testing.assert_allclose(array(block(u, mask=mask)), expected, atol=1e-6)
