"""HopfieldAttention: the update in numpy, its energy, retrieval, and torch's MHA."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.attention.hopfield_attention import HopfieldAttention

NAME = "dl_techniques>HopfieldAttention"


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def softmax(z):
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def heads(x, projection, count):
    y = array(projection(x)).astype("float64")
    return y.reshape(*y.shape[:2], count, -1).transpose(0, 2, 1, 3)


@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("beta", [None, 2.0, "learnable"])
@pytest.mark.parametrize("normalize", [False, True])
def test_equals_the_update_in_numpy(steps, beta, normalize, verify):
    layer = HopfieldAttention(
        2, 4, 3, steps, update_steps_eps=0.0, beta=beta, normalize_patterns=normalize
    )
    state, stored = draw(2, 5, 6), draw(2, 7, 8, seed=1)
    layer.build(state.shape, stored.shape)
    rng = np.random.default_rng(2)
    layer.set_weights([0.5 * rng.normal(size=w.shape) + 0.1 for w in layer.weights])
    real = np.array([[1] * 7, [1] * 4 + [0] * 3], bool)
    xi = heads(state, layer.query_projection, 2)
    k, v = (heads(stored, p, 2) for p in (layer.key_projection, layer.value_projection))
    if normalize:
        gain, bias = (array(w) for w in layer.pattern_norm.weights)
        xi, k = (
            (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gain + bias
            for x in (xi, k)
        )
    inverse = {None: 0.5, 2.0: 2.0}.get(beta)
    if inverse is None:
        inverse = array(layer.beta_weight)[None, :, None, None]

    def association(xi):
        return softmax(np.where(real[:, None, None], inverse * xi @ k.swapaxes(2, 3), -1e30))

    for _ in range(steps):
        xi = association(xi) @ k
    read = (association(xi) @ v).transpose(0, 2, 1, 3).reshape(2, 5, 6)
    kernel, offset = (array(w).astype("float64") for w in layer.output_projection.weights)
    actual = layer(state, stored, padding_mask=real)
    verify(NAME, "numpy loop in float64", actual, read @ kernel + offset, tolerance=2e-5)


def test_a_head_stops_when_no_sample_moves_its_association():
    x = draw(2, 4, 6)
    stopping, going = (
        HopfieldAttention(2, 3, update_steps_max=steps, update_steps_eps=1e9) for steps in (9, 1)
    )
    stopping.build(x.shape)
    going.build(x.shape)
    going.set_weights(stopping.get_weights())
    # The first update has nothing to compare with; everything counts as still after it.
    np.testing.assert_allclose(array(stopping(x)), array(going(x)), atol=1e-6)


def test_updates_never_raise_the_energy():
    layer = HopfieldAttention(1, 4, beta=1.5, normalize_patterns=False, update_steps_eps=0.0)
    x, stored = draw(1, 3, 6), draw(1, 8, 6, seed=1)
    layer(x, stored)
    k = array(layer.key_projection(stored))[0].astype("float64")
    xi = 3 * array(layer.query_projection(x))[0].astype("float64")
    energies = []
    for _ in range(6):
        logits = 1.5 * xi @ k.T
        lse = np.log(np.exp(logits - logits.max()).sum(-1)) + logits.max()
        energies.append(-lse / 1.5 + 0.5 * (xi**2).sum(-1))
        moved, _ = layer._associate(
            *(ops.convert_to_tensor(a[None, :, None].astype("float32")) for a in (xi, k, k)),
            return_scores=False,
        )
        xi = array(moved)[0, :, 0].astype("float64")
    assert (np.diff(energies, axis=0) <= 1e-5).all()


def test_one_step_retrieves_the_nearest_pattern():
    layer = HopfieldAttention(
        1, 16, beta=50.0, normalize_patterns=False, use_bias=False, kernel_initializer="identity"
    )
    stored = draw(1, 10, 16)
    state = stored[:, 3:5] + 0.1 * draw(1, 2, 16, seed=1)
    np.testing.assert_allclose(array(layer(state, stored)), stored[:, 3:5], atol=1e-4)


def test_masked_patterns_are_never_retrieved():
    layer = HopfieldAttention(2, 3, update_steps_max=3, kernel_initializer="random_normal")
    state, stored = draw(2, 4, 6), draw(2, 5, 6, seed=1)
    real = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], bool)
    moved = stored + 10 * ~real[:, :, None]
    np.testing.assert_allclose(
        array(layer(state, moved.astype("float32"), padding_mask=real)),
        array(layer(state, stored, padding_mask=real)),
        atol=1e-5,
    )


@pytest.mark.oracle
def test_without_updates_it_is_torch_multi_head_attention(agree, torch_mha):
    real = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
    layer = HopfieldAttention(3, 4, normalize_patterns=False)
    x = draw(2, 5, 12)
    layer.build(x.shape)
    theirs, pairs, oracle = torch_mha(layer, 12, 3, ~real)
    agree(
        layer,
        lambda x: layer(x, padding_mask=real),
        theirs,
        pairs,
        [x],
        keep=real[:, :, None],
        oracle=oracle,
    )
