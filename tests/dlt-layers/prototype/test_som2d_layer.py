"""SOM2dLayer against MiniSom, and by its properties."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core import load_model, save_model
from dl_techniques.layers.prototype.decay import decayed
from dl_techniques.layers.prototype.som2d_layer import SOM2dLayer

ID = "dl_techniques>SOM2dLayer"


def draw(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype("float32")


def started(shape, features, **config):
    layer = SOM2dLayer(shape, **config)
    layer.build((None, features))
    layer.weights_map.assign(draw(*shape, features, seed=9))
    return layer


def map_of(layer):
    return ops.convert_to_numpy(layer.weights_map)


@pytest.fixture
def minisom():
    return pytest.importorskip("minisom")


def peer_of(minisom, layer, **settings):
    """A MiniSom with the same weights and constant settings."""
    settings = {"learning_rate": layer.initial_learning_rate, "sigma": layer.sigma, **settings}
    size = (*layer.map_size, layer.weights_map.shape[-1])
    peer = minisom.MiniSom(*size, **settings, decay_function=lambda value, *_: value)
    peer._sigma_decay_function = lambda value, *_: value
    peer._weights = map_of(layer).astype("float64")
    return peer


@pytest.mark.oracle
@pytest.mark.parametrize("neighborhood", ["gaussian", "mexican_hat"])
def test_sequential_pass_equals_minisom(minisom, neighborhood, verify):
    from importlib.metadata import version

    config = {"initial_learning_rate": 0.3, "sigma": 1.2, "decay_function": None}
    config |= {"update_mode": "sequential", "neighborhood_function": neighborhood}
    x = draw(40, 5)
    layer = started((4, 6), 5, **config)
    peer = peer_of(minisom, layer, neighborhood_function=neighborhood)
    winners = np.array([peer.winner(sample) for sample in x])
    place, error = layer(x, training=True)
    peer.train(x.astype("float64"), 40)
    oracle = f"MiniSom {version('minisom')}, sequential"
    verify(ID, oracle, map_of(layer), peer.get_weights(), tolerance=5e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(place), winners)
    assert int(ops.convert_to_numpy(layer.iterations)) == 40
    _, error = layer(x)
    verify(ID, oracle, np.mean(ops.convert_to_numpy(error)), peer.quantization_error(x))
    assert abs(layer.topographic_error(x) - peer.topographic_error(x)) < 1e-9


@pytest.mark.oracle
def test_batch_step_equals_minisom(minisom, verify):
    from importlib.metadata import version

    config = {"initial_learning_rate": 0.6, "sigma": 1.5, "decay_function": None}
    x = draw(50, 5)
    layer = started((4, 6), 5, **config)
    peer = peer_of(minisom, layer)
    layer(x, training=True)
    peer.train_batch_offline(x.astype("float64"), 1)
    oracle = f"MiniSom {version('minisom')}, offline batch"
    verify(ID, oracle, map_of(layer), peer.get_weights(), tolerance=5e-6)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("name", "rate", "sigma"),
    [
        ("asymptotic", "asymptotic_decay", "asymptotic_decay"),
        ("linear", "linear_decay_to_zero", "linear_decay_to_one"),
        ("inverse", "inverse_decay_to_zero", "inverse_decay_to_one"),
    ],
)
def test_decays_equal_minisom(minisom, name, rate, sigma):
    peer = minisom.MiniSom(4, 4, 2, sigma=2.0, decay_function=rate, sigma_decay_function=sigma)
    for t in (0, 1, 50, 99, 100):
        expected = [
            peer._learning_rate_decay_function(0.5, t, 100),
            peer._sigma_decay_function(2.0, t, 100),
        ]
        np.testing.assert_allclose(decayed(name, 0.5, 2.0, t / 100), expected, rtol=1e-9)


@pytest.mark.parametrize("neighborhood", ["gaussian", "bubble", "mexican_hat"])
def test_batch_step_equals_the_closed_form(neighborhood, verify):
    x, rate = draw(9, 3), 0.4
    config = {"initial_learning_rate": rate, "sigma": 1.5, "decay_function": None}
    layer = started((3, 4), 3, **config, neighborhood_function=neighborhood)
    w = map_of(layer).astype("float64")
    rows, columns = np.indices((3, 4))
    sums, total = np.zeros_like(w), np.zeros((3, 4, 1))
    for sample in x:
        i, j = np.unravel_index(np.linalg.norm(w - sample, axis=-1).argmin(), (3, 4))
        squares = ((rows - i) ** 2 + (columns - j) ** 2) / 1.5**2
        h = {
            "gaussian": np.exp(-squares / 2),
            "bubble": (squares <= 1).astype(float),
            "mexican_hat": (1 - squares) * np.exp(-squares / 2),
        }[neighborhood][..., None]
        sums += h * sample
        total += h
    moved = np.where(total > 0, w + rate * (sums / np.where(total > 0, total, 1) - w), w)
    layer(x, training=True)
    verify(ID, "closed form in float64", map_of(layer), moved, tolerance=2e-5)


def test_settings_follow_the_iterations():
    config = {"initial_learning_rate": 1.0, "sigma": 1e-3, "max_iterations": 4}
    layer = started((2, 2), 2, **config, decay_function="linear")
    x = np.full((1, 2), 5.0, "float32")
    # One prototype alone moves: by the whole way, then by 3/4 of it, and at the end no more.
    layer(x, training=True)
    assert np.isclose(map_of(layer), 5.0).all(-1).sum() == 1
    for _ in range(3):
        layer(x, training=True)
    before = map_of(layer)
    layer(2 * x, training=True)
    np.testing.assert_array_equal(map_of(layer), before)


@keras.saving.register_keras_serializable("tests_som")
def halving(value, t, last):
    return value * 0.5 ** (t / last)


def test_a_function_may_be_the_decay():
    layer = started((2, 3), 2, decay_function=halving, max_iterations=2)
    layer(draw(5, 2), training=True)
    again = SOM2dLayer.from_config(layer.get_config())
    assert again.decay_function is halving


@pytest.mark.parametrize("mode", ["batch", "sequential"])
def test_inference_leaves_the_map(mode):
    layer = started((2, 3), 2, update_mode=mode)
    before = map_of(layer)
    layer(draw(5, 2))
    layer(draw(5, 2), training=False)
    np.testing.assert_array_equal(map_of(layer), before)
    assert int(ops.convert_to_numpy(layer.iterations)) == 0


def trained(mode, seed=0):
    keras.utils.set_random_seed(seed)
    x = draw(200, 2)
    steps = {"batch": 5 * 10, "sequential": 200 * 10}[mode]
    som = SOM2dLayer((5, 5), 0.5, 2.0, update_mode=mode, max_iterations=steps)
    inputs = keras.Input((2,))
    place, error = som(inputs)
    model = keras.Model(inputs, {"place": place, "error": error})
    model.compile("sgd", {"error": "mae", "place": None})
    history = model.fit(x, {"error": np.zeros(200, "float32")}, batch_size=40, epochs=10, verbose=0)
    return model, som, x, history.history["loss"]


@pytest.mark.filterwarnings("ignore:.*trainable weights.*:UserWarning")
@pytest.mark.parametrize("mode", ["batch", "sequential"])
def test_learns_inside_fit_repeats_and_survives_a_file(mode, tmp_path):
    model, som, x, losses = trained(mode)
    _, again, _, _ = trained(mode)
    np.testing.assert_array_equal(map_of(som), map_of(again))
    assert losses[-1] < 0.7 * losses[0]
    assert losses[-1] < 0.15  # 25 prototypes on a square of side one
    assert som.topographic_error(x) < 0.2
    path = tmp_path / "som.keras"
    save_model(model, path)
    loaded = load_model(path)
    ours, theirs = model.predict(x, verbose=0), loaded.predict(x, verbose=0)
    np.testing.assert_array_equal(theirs["place"], ours["place"])
    np.testing.assert_allclose(theirs["error"], ours["error"], atol=1e-6)
