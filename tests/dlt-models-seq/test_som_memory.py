"""SOMMemory: MiniSom's maps, errors and u-matrix; recall, classes, saving."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.core import load_model, save_model
from dl_techniques.models.som_memory import SOMMemory
from dl_techniques.models.som_memory.plot import plot_u_matrix


@pytest.fixture
def clusters():
    """Three clusters of eight samples and their classes."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], 8)
    centres = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]])[classes]
    return (centres + 0.05 * rng.normal(size=(24, 3))).astype("float32"), classes


@pytest.mark.oracle
def test_map_errors_and_u_matrix_agree_with_minisom(clusters, verify):
    from minisom import MiniSom

    x, _ = clusters
    # MiniSom's "asymptotic_decay" divides by 1 + t / (T / 2), as ours does.
    peer = MiniSom(3, 4, 3, sigma=1.5, learning_rate=0.5, random_seed=0)
    peer._weights = np.random.default_rng(1).uniform(size=(3, 4, 3))
    memory = SOMMemory((3, 4), sigma=1.5, update_mode="sequential")
    memory.build((None, 3))
    memory.som.weights_map.assign(peer.get_weights().astype("float32"))
    errors = memory.fit_som(x, epochs=2, batch_size=8, shuffle=False, progress=False)
    peer.train(x, 48, use_epochs=False)
    name, oracle = "dl_techniques>SOMMemory", "MiniSom"
    verify(name, oracle, memory.prototypes, peer.get_weights(), what="map")
    theirs = np.array(peer.quantization_error(x))
    verify(name, oracle, np.array(memory.quantization_error(x)), theirs, what="error")
    np.testing.assert_allclose(memory.topographic_error(x), peer.topographic_error(x))
    ours = memory.u_matrix()
    theirs = peer.distance_map(scaling="mean")
    verify(name, oracle, ours / ours.max(), theirs, what="u-matrix")
    assert len(errors) == 2


def test_recalls_and_classifies_noisy_samples(clusters, tmp_path):
    x, classes = clusters
    start = keras.initializers.RandomUniform(0.0, 1.0, seed=0)
    memory = SOMMemory((3, 3), num_classes=3, sigma=1.0, initializer=start)
    errors = memory.fit_som(x, epochs=20, batch_size=8, progress=False)
    assert errors[-1] < errors[0] / 2
    assert memory.max_iterations == 60
    memory.fit_labels(x, classes)
    noisy = x + 0.05 * np.random.default_rng(2).normal(size=x.shape).astype("float32")
    assert (memory.classify(noisy) == classes).all()
    centres = np.array([x[classes == c].mean(0) for c in range(3)])
    assert np.abs(memory.recall(noisy) - centres[classes]).max() < 0.4
    save_model(memory, tmp_path / "memory.keras")
    again = load_model(tmp_path / "memory.keras")
    np.testing.assert_array_equal(again.classify(noisy), classes)
    np.testing.assert_array_equal(again.prototypes, memory.prototypes)


def test_an_unlabelled_prototype_takes_the_class_of_the_nearest_labelled_one():
    """Closed form: prototypes 0, 1, 5; labels at 0 and 5 only."""
    memory = SOMMemory((1, 3), num_classes=2)
    memory.build((None, 1))
    memory.som.weights_map.assign(np.array([[[0.0], [1.0], [5.0]]]))
    memory.fit_labels(np.array([[0.1], [5.2]]), np.array([1, 0]))
    assert memory.classify(np.array([[0.9], [4.0], [-3.0]])).tolist() == [1, 0, 1]
    np.testing.assert_allclose(memory.u_matrix(), [[1.0, 2.5, 4.0]])
    figure = plot_u_matrix(memory, np.array([[0.1], [5.2]]), [1, 0])
    assert figure.axes[0].images[0].get_array().shape == (1, 3)


def test_refuses_what_it_cannot_classify(clusters):
    x, classes = clusters
    plain = SOMMemory((2, 2))
    plain.build((None, 3))
    with pytest.raises(ValueError, match="num_classes"):
        plain.classify(x)
    memory = SOMMemory((2, 2), num_classes=2)
    memory.build((None, 3))
    with pytest.raises(ValueError, match="fit_labels"):
        memory.classify(x)
    with pytest.raises(ValueError, match="`y`"):
        memory.fit_labels(x, classes)
