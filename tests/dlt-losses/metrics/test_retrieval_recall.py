"""retrieval_recall against a naive loop and scikit-learn, on ties and several captions."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from keras import ops

from dl_techniques.metrics import retrieval_recall

DIRECTIONS = ("image_to_text", "text_to_image")


def unit(rng, *shape):
    x = rng.normal(size=shape)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")


def naive(images, texts, k, img_of_txt):
    """Sort the candidates of each query, its own last among equals, and look at the first k."""
    images, texts = images.astype("float64"), texts.astype("float64")

    def found(query, candidates, is_own):
        best_own = max(query @ c for c, own in zip(candidates, is_own, strict=True) if own)
        others = [query @ c for c, own in zip(candidates, is_own, strict=True) if not own]
        ordered = sorted([(-score, 0) for score in others] + [(-best_own, 1)])
        return any(own for _, own in ordered[:k])

    of_images = [
        found(image, texts, [owner == i for owner in img_of_txt])
        for i, image in enumerate(images)
        if i in img_of_txt
    ]
    of_texts = [
        found(text, images, [i == owner for i in range(len(images))])
        for text, owner in zip(texts, img_of_txt, strict=True)
    ]
    return dict(zip(DIRECTIONS, (np.mean(of_images), np.mean(of_texts)), strict=True))


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_pairs_equal_scikit_learn(verify, noise):
    import sklearn
    from sklearn.metrics import top_k_accuracy_score

    rng = np.random.default_rng(0)
    images = unit(rng, 40, 12)
    texts = images + (noise * rng.normal(size=(40, 12))).astype("float32")
    recall = retrieval_recall(images, texts, ks=(1, 3, 10))
    labels = np.arange(40)
    s = images.astype("float64") @ texts.T.astype("float64")
    for name, scores in zip(DIRECTIONS, (s, s.T), strict=True):
        for k in (1, 3, 10):
            expected = top_k_accuracy_score(labels, scores, k=k, labels=labels)
            oracle = f"top_k_accuracy_score of scikit-learn {sklearn.__version__}"
            verify("dl_techniques>retrieval_recall", oracle, recall[name][k], expected)
    assert 0 < recall["image_to_text"][1] < 1


@pytest.mark.parametrize("k", [1, 2, 5, 100])
@pytest.mark.parametrize("seed", [0, 1])
def test_several_captions_an_image_in_any_order_equal_a_naive_loop(k, seed):
    rng = np.random.default_rng(seed)
    images = unit(rng, 13, 6)
    img_of_txt = rng.permutation(np.repeat(np.arange(13), 5)[:60])
    texts = images[img_of_txt] + rng.normal(size=(60, 6)).astype("float32")
    recall = retrieval_recall(images, texts, k, img_of_txt)
    assert {name: values[k] for name, values in recall.items()} == pytest.approx(
        naive(images, texts, k, img_of_txt)
    )


@pytest.mark.parametrize("held", [1, 70, 10_000])
def test_the_value_does_not_depend_on_how_much_is_held_at_a_time(held, monkeypatch):
    rng = np.random.default_rng(0)
    images, texts = unit(rng, 20, 8), unit(rng, 35, 8)
    img_of_txt = rng.integers(0, 15, size=35)
    expected = retrieval_recall(images, texts, (1, 4), img_of_txt)
    monkeypatch.setattr(sys.modules[retrieval_recall.__module__], "_HELD", held)
    assert retrieval_recall(images, texts, (1, 4), img_of_txt) == expected


def test_an_image_hits_with_its_best_caption_and_captions_do_not_compete():
    images = np.eye(2)
    texts = np.array([[1.0, 0.0], [0.9, 0.0], [0.8, 0.0], [0.0, 1.0], [0.95, 0.5]])
    recall = retrieval_recall(images, texts, (1, 2), [0, 0, 0, 1, 0])
    assert recall["image_to_text"] == {1: 1, 2: 1}
    only_worst = retrieval_recall(images, texts, (1, 2, 3), [1, 1, 0, 1, 1])
    assert only_worst["image_to_text"] == {1: 0.5, 2: 0.5, 3: 0.5}


@pytest.mark.parametrize("features", [1, 3, 64, 513])
def test_collapsed_embeddings_find_nothing(features):
    rng = np.random.default_rng(0)
    one = rng.normal(size=features).astype("float32")
    images, texts = np.tile(one, (9, 1)), np.tile(one, (18, 1))
    recall = retrieval_recall(images, texts, (1, 8, 9, 17, 18), np.repeat(np.arange(9), 2))
    assert recall["image_to_text"] == {1: 0, 8: 0, 9: 0, 17: 1, 18: 1}
    assert recall["text_to_image"] == {1: 0, 8: 0, 9: 1, 17: 1, 18: 1}


def test_an_exact_tie_with_one_stranger_counts_as_his():
    images, texts = np.eye(3), np.array([[1.0, 0, 0], [1.0, 1.0, 0], [0, 0, 1.0]])
    assert retrieval_recall(images, texts, (1, 2)) == {
        "image_to_text": {1: 2 / 3, 2: 1},
        "text_to_image": {1: 2 / 3, 2: 1},
    }


def test_nan_is_the_last_of_all_and_spoils_nothing_else():
    images, texts = np.eye(3), np.eye(3)
    images[1] = np.nan
    recall = retrieval_recall(images, texts, (1, 2, 3))
    assert recall["image_to_text"] == {1: 2 / 3, 2: 2 / 3, 3: 1}
    assert recall["text_to_image"] == {1: 0, 2: 2 / 3, 3: 1}


def test_an_image_without_a_text_is_a_candidate_but_no_query():
    images = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    texts = np.array([[1.0, 0.5], [0.0, 1.0]])
    recall = retrieval_recall(images, texts, 1, [0, 1])
    assert recall == {"image_to_text": {1: 1.0}, "text_to_image": {1: 0.0}}


def test_tensors_of_the_backend_in_any_float_dtype_are_taken():
    rng = np.random.default_rng(0)
    images, texts = unit(rng, 10, 4), unit(rng, 10, 4)
    expected = retrieval_recall(images, texts, (1, 3))
    tensors = [ops.convert_to_tensor(x) for x in (images, texts)]
    assert retrieval_recall(*tensors, (1, 3), ops.arange(10)) == expected
    half = [ops.cast(x, "bfloat16") for x in tensors]
    assert set(retrieval_recall(*half, [3])) == set(DIRECTIONS)


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("img_emb", (np.zeros(3), np.zeros((3, 2)))),
        ("img_emb", (np.zeros((0, 2)), np.zeros((0, 2)))),
        ("txt_emb", (np.zeros((3, 2)), np.zeros((3, 2, 1)))),
        ("features", (np.zeros((3, 2)), np.zeros((3, 4)))),
        ("ks", (np.eye(3), np.eye(3), 0)),
        ("ks", (np.eye(3), np.eye(3), ())),
        ("ks", (np.eye(3), np.eye(3), (1, 2.5))),
        ("ks", (np.eye(3), np.eye(3), True)),
        ("img_of_txt", (np.eye(3), np.ones((4, 3)))),
        ("img_of_txt", (np.eye(3), np.eye(3), 1, [0, 1])),
        ("img_of_txt", (np.eye(3), np.eye(3), 1, [0, 1, 3])),
        ("img_of_txt", (np.eye(3), np.eye(3), 1, [0, 1, -1])),
        ("img_of_txt", (np.eye(3), np.eye(3), 1, [0.0, 1.0, 2.0])),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_name(argument, arguments):
    with pytest.raises(ValueError, match=argument):
        retrieval_recall(*arguments)
