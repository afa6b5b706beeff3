"""GlobalResponseNormalization against the formula in float64, timm and its stated properties."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.norms import GRN, GlobalResponseNorm, GlobalResponseNormalization

ID = "dl_techniques>GlobalResponseNormalization"


def formula(x, gamma, beta, epsilon=1e-6, axes=None):
    x = x.astype("float64")
    axes = tuple(range(1, x.ndim - 1)) if axes is None else axes
    g = np.sqrt(np.sum(x**2, axis=axes, keepdims=True)) if axes else np.abs(x)
    n = g / (g.mean(axis=-1, keepdims=True) + epsilon)
    return gamma * (x * n) + beta + x


def random_layer(shape, rng, **settings):
    layer = GlobalResponseNormalization(**settings)
    layer.build(shape)
    weights = [rng.normal(size=weight.shape).astype("float32") for weight in layer.weights]
    layer.set_weights(weights)
    return layer, weights


@pytest.mark.parametrize("shape", [(2, 5, 3, 7), (3, 6, 4), (2, 2, 3, 4, 5), (4, 6)])
def test_every_rank_equals_the_formula(shape, verify):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype("float32")
    layer, (gamma, beta) = random_layer(shape, rng)
    verify(ID, "closed form in float64", layer(x), formula(x, gamma, beta))


def test_chosen_axes_equal_the_formula(verify):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 5, 3, 7)).astype("float32")
    layer, (gamma, beta) = random_layer(x.shape, rng, axis=-2)
    verify(ID, "closed form in float64", layer(x), formula(x, gamma, beta, axes=(2,)))


def test_it_starts_as_the_identity_and_is_known_by_its_second_names():
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(GRN()(x)), x)
    assert GRN is GlobalResponseNorm is GlobalResponseNormalization


def test_without_bias_it_is_homogeneous_and_has_no_additive_weight():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 3, 5)).astype("float32")
    layer, _ = random_layer(x.shape, rng, use_bias=False)
    assert [weight.name for weight in layer.weights] == ["gamma"]
    one, seven = (ops.convert_to_numpy(layer(c * x)) for c in (np.float32(1), np.float32(7)))
    np.testing.assert_allclose(seven, 7 * one, rtol=2e-5, atol=1e-5)


def test_padding_that_is_masked_changes_nothing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    layer, _ = random_layer(x.shape, rng)
    padded = np.concatenate([x, 100 * rng.normal(size=(2, 3, 3)).astype("float32")], axis=1)
    mask = np.arange(7)[None] < np.array([4, 4])[:, None]
    got = ops.convert_to_numpy(layer(padded, mask=ops.convert_to_tensor(mask)))[:, :4]
    np.testing.assert_allclose(got, ops.convert_to_numpy(layer(x)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dead", ["image", "channel"])
def test_gradients_are_finite_where_the_norm_is_zero(dead):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    x[0] = 0 if dead == "image" else x[0] * np.array([1, 0, 1, 1])
    layer, _ = random_layer(x.shape, rng)
    result = value_and_gradients(lambda x: ops.sum(layer(x) ** 2), layer.trainable_variables, [x])
    assert all(np.isfinite(g).all() for g in [*result.variables, *result.inputs])


def test_float16_images_of_large_scale_do_not_overflow():
    rng = np.random.default_rng(0)
    x = (100 * rng.normal(size=(1, 32, 32, 4))).astype("float16")
    layer = GlobalResponseNormalization(gamma_initializer="ones", dtype="mixed_float16")
    y = ops.convert_to_numpy(layer(x))
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, formula(x, 1.0, 0.0), rtol=4e-3, atol=0.1)


@pytest.mark.oracle
@pytest.mark.parametrize("shape", [(2, 5, 3, 7), (1, 1, 5, 3)])
def test_equals_timm_with_gradients(shape, timm, agree):
    grn = pytest.importorskip("timm.layers.grn")
    peer = grn.GlobalResponseNorm(shape[-1], channels_last=True)
    layer = GlobalResponseNormalization()
    layer.build(shape)
    pairs = [(layer.gamma, peer.weight, np.asarray), (layer.beta, peer.bias, np.asarray)]
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    oracle = f"timm {timm.__version__} GlobalResponseNorm"
    agree(layer, layer, peer, pairs, [x], oracle=oracle, tolerance=1e-5)
