"""KMeansLayer against scikit-learn's k-means, and by its properties."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core import load_model, save_model
from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.prototype.kmeans_layer import KMeansLayer

ID = "dl_techniques>KMeansLayer"


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def started(centroids, **config):
    layer = KMeansLayer(len(centroids), **config)
    layer.build((None, centroids.shape[1]))
    layer.centroids.assign(centroids)
    return layer


def outputs(layer, x, **settings):
    return ops.convert_to_numpy(layer(x, **settings))


def centroids_of(layer):
    return ops.convert_to_numpy(layer.centroids)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_one_hard_step_equals_lloyd(verify):
    cluster = pytest.importorskip("sklearn.cluster")
    import sklearn

    x, start = draw(200, 3), draw(5, 3, seed=1)
    layer = started(start, mode="hard", momentum=0.0)
    assignments = outputs(layer, x, training=True)
    peer = cluster.KMeans(5, init=start, n_init=1, max_iter=1, algorithm="lloyd").fit(x)
    oracle = f"sklearn KMeans {sklearn.__version__}"
    verify(ID, oracle, centroids_of(layer), peer.cluster_centers_)
    nearest = np.linalg.norm(x[:, None] - start, axis=-1).argmin(-1)
    np.testing.assert_array_equal(assignments, np.eye(5)[nearest])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_counts_equal_mini_batch_k_means(verify):
    cluster = pytest.importorskip("sklearn.cluster")
    import sklearn

    start, batches = draw(4, 3, seed=1), [draw(60, 3, seed=s) for s in (2, 3)]
    layer = started(start, mode="hard", update="counts")
    peer = cluster.MiniBatchKMeans(4, init=start, n_init=1, reassignment_ratio=0.0, batch_size=60)
    for batch in batches:
        layer(batch, training=True)
        peer.partial_fit(batch)
    oracle = f"sklearn MiniBatchKMeans {sklearn.__version__}"
    verify(ID, oracle, centroids_of(layer), peer.cluster_centers_)
    assert ops.convert_to_numpy(layer.counts).sum() == 120


def test_soft_assignments_and_their_step_equal_the_closed_form(verify):
    x, start = draw(9, 3), draw(4, 3, seed=1)
    layer = started(start, temperature=0.7, momentum=0.25)
    distances = ((x[:, None].astype("float64") - start) ** 2).sum(-1)
    a = np.exp(-distances / 0.7)
    a /= a.sum(-1, keepdims=True)
    oracle = "closed form in float64"
    verify(ID, oracle, outputs(layer, x, training=True), a)
    mean = (a.T @ x) / a.sum(0)[:, None]
    verify(ID, oracle, centroids_of(layer), 0.25 * start + 0.75 * mean)


def test_a_centroid_without_samples_stays():
    start = np.array([[0.0, 0.0], [100.0, 100.0]], "float32")
    for update in ("momentum", "counts"):
        layer = started(start, mode="hard", momentum=0.0, update=update)
        x = draw(20, 2)
        layer(x, training=True)
        np.testing.assert_array_equal(centroids_of(layer)[1], start[1])
        np.testing.assert_allclose(centroids_of(layer)[0], x.mean(0), atol=1e-5)


def test_the_order_of_samples_and_a_rotation_do_not_matter():
    x, start = draw(50, 2), draw(3, 2, seed=1)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]], "float32")
    results = []
    for samples, begin in ((x, start), (x[::-1], start), (x @ turn, start @ turn)):
        layer = started(begin, mode="hard", momentum=0.5)
        layer(samples.copy(), training=True)
        results.append(centroids_of(layer))
    np.testing.assert_allclose(results[1], results[0], atol=1e-5)
    np.testing.assert_allclose(results[2], results[0] @ turn, atol=1e-5)


def test_a_low_temperature_is_hard_and_mixtures_are_means_of_centroids():
    x, start = draw(9, 3), draw(4, 3, seed=1)
    hard = outputs(started(start, mode="hard"), x)
    np.testing.assert_allclose(outputs(started(start, temperature=1e-3), x), hard, atol=1e-3)
    mixture = outputs(started(start, mode="hard", output_mode="mixture"), x)
    np.testing.assert_allclose(mixture, hard @ start, atol=1e-6)


def test_gradients_reach_the_inputs_through_soft_assignments():
    x, g = draw(5, 3), draw(5, 4, seed=2)
    layer = started(draw(4, 3, seed=1))
    result = value_and_gradients(lambda x, g: ops.sum(layer(x) * g), [], [x, g])

    def value(x):
        distances = ((x[:, None] - centroids_of(layer).astype("float64")) ** 2).sum(-1)
        a = np.exp(-distances)
        return ((a / a.sum(-1, keepdims=True)) * g).sum()

    step = np.zeros((5, 3))
    step[2, 1] = 1e-6
    slope = (value(x + step) - value(x - step)) / 2e-6
    np.testing.assert_allclose(result.inputs[0][2, 1], slope, rtol=1e-3)


def trained(seed):
    keras.utils.set_random_seed(seed)
    blobs = np.concatenate([draw(60, 2) * 0.1 + c for c in ((0, 0), (2, 0), (0, 2))])
    x = np.random.default_rng(1).permutation(blobs.astype("float32"))
    model = keras.Sequential([keras.Input((2,)), KMeansLayer(3, 0.2, output_mode="mixture")])
    model.compile("sgd", "mse")
    model.fit(x, x, epochs=15, batch_size=30, shuffle=True, verbose=0)
    return model, x


@pytest.mark.filterwarnings("ignore:.*trainable weights.*:UserWarning")
def test_learns_inside_fit_repeats_and_survives_a_file(tmp_path):
    (model, x), (again, _) = trained(3), trained(3)
    centroids = centroids_of(model.layers[0])
    np.testing.assert_array_equal(centroids, centroids_of(again.layers[0]))
    for blob in ((0, 0), (2, 0), (0, 2)):
        assert np.linalg.norm(centroids - blob, axis=-1).min() < 0.2
    path = tmp_path / "kmeans.keras"
    save_model(model, path)
    loaded = load_model(path)
    np.testing.assert_array_equal(centroids_of(loaded.layers[0]), centroids)
    np.testing.assert_allclose(outputs(loaded, x), outputs(model, x), atol=1e-6)


def test_more_clusters_than_features_start_at_random():
    layer = KMeansLayer(5)
    layer.build((None, 2))
    assert len(np.unique(centroids_of(layer).round(5), axis=0)) == 5
    few = KMeansLayer(2)
    few.build((None, 5))
    c = centroids_of(few)
    np.testing.assert_allclose(c @ c.T, np.eye(2), atol=1e-5)
