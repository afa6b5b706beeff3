"""MPSLayer against the dense tensor, quimb, and the properties of matrix product states."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.tensor_network.contraction import mps_contract
from dl_techniques.layers.tensor_network.mps_layer import MPSLayer

ID = "dl_techniques>MPSLayer"


def draw(*shape, scale=0.7, seed=0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def inputs(*shape):
    return np.random.default_rng(5).random(shape).astype("float32")


def drawn(layer, shape):
    layer.build(shape)
    for seed, weight in enumerate(layer.trainable_weights):
        weight.assign(draw(*weight.shape, seed=seed))
    return layer


def outputs(layer, x):
    return ops.convert_to_numpy(layer(x))


def dense(features, cores, output_core, position):
    """Sum over all d^N products of features in float64."""
    features, cores, output_core = (
        np.asarray(a, "float64") for a in (features, cores, output_core)
    )
    batch, sites, local = features.shape
    y = np.zeros((batch, len(output_core)))
    for choice in itertools.product(range(local), repeat=sites):
        weight = np.prod([features[:, n, s] for n, s in enumerate(choice)], axis=0)
        for label, output in enumerate(output_core):
            matrices = [cores[n, s] for n, s in enumerate(choice)]
            matrices.insert(position, output)
            coefficient = matrices[0]
            for matrix in matrices[1:]:
                coefficient = coefficient @ matrix
            y[:, label] += weight * coefficient[0, 0]
    return y


@pytest.mark.parametrize("method", ["scan", "tree"])
@pytest.mark.parametrize(
    ("sites", "position"), [(1, 0), (1, 1), (2, 1), (5, 2), (6, 0), (6, 6), (7, 3)]
)
def test_equals_the_dense_tensor(method, sites, position, verify):
    features, cores = draw(3, sites, 2), draw(sites, 2, 3, 3, seed=1)
    output_core = draw(4, 3, 3, seed=2)
    y = mps_contract(
        *(ops.convert_to_tensor(a) for a in (features, cores, output_core)), position, method
    )
    verify(ID, "dense tensor in float64", y, dense(features, cores, output_core, position))


@pytest.mark.parametrize("feature_map", ["linear", "trig"])
def test_the_layer_maps_its_inputs_to_features(feature_map, verify):
    x = inputs(3, 4)
    layer = drawn(MPSLayer(2, 3, feature_map), x.shape)
    pair = [1 - x.astype("float64"), x]
    if feature_map == "trig":
        pair = [np.cos(np.pi / 2 * x), np.sin(np.pi / 2 * x)]
    features = np.stack(pair, -1) / sum(pair)[..., None]
    cores, output_core, bias = layer.get_weights()
    expected = dense(features, cores, output_core, 2) + bias
    verify(ID, "dense tensor in float64", outputs(layer, x), expected, tolerance=2e-5)


@pytest.mark.oracle
def test_equals_quimb(verify):
    tensor = pytest.importorskip("quimb.tensor")
    import quimb

    sites, position = 6, 3
    features, cores = draw(2, sites, 2), draw(sites, 2, 3, 3, seed=1)
    output_core = draw(4, 3, 3, seed=2)
    arrays = [cores[n].transpose(1, 2, 0).astype("float64") for n in range(sites)]  # l, r, p
    arrays.insert(position, output_core.transpose(1, 2, 0).astype("float64"))
    arrays[0], arrays[-1] = arrays[0][0], arrays[-1][:, 0]  # open boundaries
    state = tensor.MatrixProductState(arrays, shape="lrp")
    full = state.to_dense().reshape([a.shape[-1] for a in arrays])
    expected = np.moveaxis(full, position, 0)
    sums = "labcdef,za,zb,zc,zd,ze,zf->zl"
    expected = np.einsum(sums, expected, *features.astype("float64").transpose(1, 0, 2))
    y = mps_contract(*(ops.convert_to_tensor(a) for a in (features, cores, output_core)), position)
    verify(ID, f"quimb MatrixProductState {quimb.__version__}", y, expected)


def test_both_contractions_agree_with_gradients():
    x, g = inputs(3, 9), draw(3, 4)
    gradients = []
    for method in ("scan", "tree"):
        layer = drawn(MPSLayer(4, 3, contraction=method), x.shape)
        result = value_and_gradients(
            lambda x, g, layer=layer: ops.sum(layer(x) * g), layer.trainable_variables, [x, g]
        )
        gradients.append([*result.variables, *result.inputs])
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_a_change_of_gauge_changes_nothing():
    x = inputs(3, 6)
    layer = drawn(MPSLayer(4, 3), x.shape)
    y = outputs(layer, x)
    cores = ops.convert_to_numpy(layer.cores).copy()
    gauge = np.eye(3) + 0.3 * draw(3, 3, seed=9)
    cores[1] = cores[1] @ gauge
    cores[2] = np.linalg.inv(gauge) @ cores[2]
    layer.cores.assign(cores)
    np.testing.assert_allclose(outputs(layer, x), y, rtol=1e-4, atol=1e-5)


def test_is_affine_in_each_input():
    x = inputs(1, 6)
    layer = drawn(MPSLayer(2, 3), x.shape)
    for n in range(6):
        rows = np.tile(x, (3, 1))
        rows[:, n] = (0.0, 0.5, 1.0)
        low, middle, high = outputs(layer, rows)
        np.testing.assert_allclose(middle, (low + high) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("feature_map", ["linear", "trig"])
@pytest.mark.parametrize("method", ["scan", "tree"])
def test_starts_finite_at_the_size_of_an_image(feature_map, method):
    layer = MPSLayer(10, 4, feature_map, contraction=method)
    y = outputs(layer, inputs(2, 784))
    assert np.isfinite(y).all()
    assert 0.01 < np.abs(y).max() < 10


@keras.saving.register_keras_serializable("tests_mps")
def three_features(x):
    return ops.stack([1 - x, x, x * x], axis=-1)


def test_a_function_may_make_the_features(verify):
    x = inputs(2, 4)
    layer = drawn(MPSLayer(2, 3, three_features), x.shape)
    assert layer.cores.shape == (4, 3, 3, 3)
    cores, output_core, bias = layer.get_weights()
    features = np.stack([1 - x, x, x * x], -1)
    verify(
        ID,
        "dense tensor in float64",
        outputs(layer, x),
        dense(features, cores, output_core, 2) + bias,
        tolerance=2e-5,
    )
    again = MPSLayer.from_config(layer.get_config())
    assert again.feature_map is three_features


def test_learns_a_product_that_no_linear_map_has():
    x = np.array(list(itertools.product([0, 1], repeat=4)), "float32")
    parity = (x.sum(1, keepdims=True) % 2).astype("float32")
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), MPSLayer(1, 4, init_std=0.3)])
    model.compile(keras.optimizers.Adam(0.03), "mse")
    loss = model.fit(x, parity, epochs=150, batch_size=16, verbose=0).history["loss"][-1]
    assert loss < 0.01
