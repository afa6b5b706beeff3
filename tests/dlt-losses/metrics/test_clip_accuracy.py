"""CLIPAccuracy against scikit-learn, and on ties."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.metrics import CLIPAccuracy


def accuracy(s, sample_weight=None, **settings):
    metric = CLIPAccuracy(**settings)
    metric.update_state(None, s, sample_weight=sample_weight)
    return float(metric.result())


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("direction", ["image_to_text", "text_to_image", "mean"])
def test_equals_scikit_learn(verify, k, direction):
    import sklearn
    from sklearn.metrics import top_k_accuracy_score

    s = np.random.default_rng(0).normal(size=(11, 11)).astype("float32")
    s += np.eye(11, dtype="float32")
    labels = np.arange(11)
    rows, columns = (
        top_k_accuracy_score(labels, m, k=k, labels=labels, normalize=True) for m in (s, s.T)
    )
    expected = {"image_to_text": rows, "text_to_image": columns, "mean": (rows + columns) / 2}
    oracle = f"top_k_accuracy_score of scikit-learn {sklearn.__version__}"
    got = accuracy(s, top_k=k, direction=direction)
    verify("dl_techniques>CLIPAccuracy", oracle, got, expected[direction], tolerance=1e-6)


def test_ties_count_against_the_pair():
    assert accuracy(np.ones((4, 4))) == 0
    assert accuracy(np.ones((4, 4)), top_k=3) == 0
    assert accuracy(np.ones((4, 4)), top_k=4) == 1
    assert accuracy(np.full((3, 3), np.nan)) == 0


def test_more_candidates_than_there_are_always_hit():
    s = np.random.default_rng(0).normal(size=(3, 3))
    assert accuracy(s, top_k=7) == 1


def test_an_epoch_is_exact_over_batches_of_different_sizes_and_resets():
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(n, n)) + np.eye(n) for n in (7, 3, 1)]
    metric = CLIPAccuracy()
    assert float(metric.result()) == 0
    for s in batches:
        metric.update_state(np.zeros(len(s)), s)
    expected = sum(len(s) * accuracy(s) for s in batches) / 11
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_weights_count_pairs():
    s = np.array([[2.0, 0.0, 9.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    assert accuracy(s, direction="image_to_text", sample_weight=[0, 1, 1]) == 1
    assert accuracy(s, direction="image_to_text", sample_weight=[2, 1, 1]) == 0.5


def test_a_mapping_holds_both_directions():
    rng = np.random.default_rng(0)
    by_image, by_text = rng.normal(size=(2, 6, 6))
    both = {"logits_per_image": by_image, "logits_per_text": by_text}
    expected = (
        accuracy(by_image, direction="image_to_text") + accuracy(by_text, direction="image_to_text")
    ) / 2
    assert accuracy(both) == pytest.approx(expected)


def test_it_works_in_compile():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Identity()])
    model.compile(loss="mse", metrics=[CLIPAccuracy()])
    logs = model.evaluate(3 * np.eye(5), np.eye(5), batch_size=5, verbose=0, return_dict=True)
    assert logs["clip_accuracy"] == 1


@pytest.mark.parametrize("shape", [(3, 4), (3,), (2, 3, 3)])
def test_a_matrix_that_is_not_square_is_refused(shape):
    with pytest.raises(ValueError, match="square"):
        accuracy(np.zeros(shape))
