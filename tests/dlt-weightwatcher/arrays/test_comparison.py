from __future__ import annotations

import json

import numpy as np
import pytest

from dl_techniques.weightwatcher import WeightWatcher, compare_models


@pytest.fixture
def models(weights):
    rng = np.random.default_rng(5)
    noise = {n: a + 0.3 * rng.normal(size=a.shape).astype("float32") for n, a in weights.items()}
    return {"first": weights, "same": weights, "noisy": noise}


def test_a_copy_is_found_equal_and_noise_is_measured(models):
    found = compare_models(models, n_jobs=1)
    assert set(found.results) == set(models)
    same = [r for r in found.layers if r["model"] == "same"]
    noisy = [r for r in found.layers if r["model"] == "noisy"]
    assert len(same) == len(noisy) == 3
    for record in same:
        assert record["alpha_difference"] == 0
        assert record["relative_change"] == record["wasserstein"] == 0
        assert record["cka"] == pytest.approx(1)
        assert record["subspace_overlap"] == pytest.approx(1)
        assert not record["significant"]
    for record in noisy:
        assert 0 < record["cka"] < 1
        assert record["delta_stable_rank"] > 1
    dense = next(r for r in noisy if r["longname"] == "dense")
    change = models["noisy"]["dense"].astype("float64") - models["first"]["dense"]
    expected = np.linalg.norm(change) / np.linalg.norm(models["first"]["dense"].astype("float64"))
    assert dense["relative_change"] == pytest.approx(expected)


def test_layers_are_matched_by_name_then_by_shape(weights):
    renamed = {f"new/{name}": array for name, array in weights.items()}
    renamed["new/extra"] = np.random.default_rng(0).normal(size=(40, 17))
    found = compare_models({"a": weights, "b": renamed}, n_jobs=1)
    assert {r["longname"]: r["counterpart"] for r in found.layers} == {
        name: f"new/{name}" for name in ("dense", "square", "conv")
    }
    assert found.unmatched == {"b": ["new/extra"]}


def test_intervals_that_do_not_overlap_are_significant():
    def spectrum(alpha):
        u = (np.arange(300) + 0.5) / 300
        evals = (1 - u) ** (-1 / (alpha - 1))
        rng = np.random.default_rng(0)
        left, right = (np.linalg.qr(rng.normal(size=(300, 300)))[0] for _ in range(2))
        return (left * np.sqrt(evals)) @ right

    found = compare_models(
        {"a": {"w": spectrum(2)}, "b": {"w": spectrum(4)}}, bootstrap=50, n_jobs=1
    )
    assert found.layers[0]["significant"]
    assert [model["model"] for model in found.models] == ["a", "b"] or found.models[0][
        "alpha_distance"
    ] == 0


def test_models_are_ordered_by_their_distance_from_the_band(heavy):
    far = {"w": np.random.default_rng(1).normal(size=(300, 100))}
    found = compare_models({"far": far, "near": {"w": heavy}}, n_jobs=1)
    distances = [model["alpha_distance"] for model in found.models]
    assert distances == sorted(distances)
    assert "MEAN ALPHA" in repr(found)


def test_everything_is_json_and_html(models, tmp_path):
    found = compare_models(models, n_jobs=1)
    content = json.loads(found.to_json(tmp_path / "c.json"), parse_constant=pytest.fail)
    assert len(content["layers"]) == 6
    page = found.to_html(tmp_path / "c.html")
    assert "Models, best first" in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("models", "options", "text"),
    [
        ({"a": {"w": np.eye(9)}}, {}, "2 to 20"),
        ([1, 2], {}, "models"),
        ({"a": {"w": np.eye(9)}, "b": {"w": np.eye(9)}}, {"base": {}}, "base"),
    ],
)
def test_wrong_calls_are_refused(models, options, text):
    with pytest.raises(ValueError, match=text):
        compare_models(models, **options)


def test_the_facade_equals_the_functions(weights):
    watcher = WeightWatcher(weights)
    assert [layer["longname"] for layer in watcher.describe()] == ["dense", "square", "conv"]
    details = watcher.analyze(n_jobs=1)
    assert watcher.get_details() is details
    assert watcher.get_summary()["alpha"] == details.summary["metrics"]["alpha"]["mean"]
    assert watcher.get_ESD("dense").size == 100
    assert watcher.get_weights("conv")[0].shape == (16, 24)
    assert len(watcher.get_weights("conv")) == 9
    assert watcher.smooth(rank=3)["dense"].shape == (300, 100)
    with pytest.raises(KeyError):
        watcher.get_weights("missing")
    with pytest.raises(ValueError, match="no model"):
        WeightWatcher().analyze()


def test_distances_between_models(weights):
    watcher = WeightWatcher()
    doubled = {name: 2 * array for name, array in weights.items()}
    raw = watcher.distances(weights, doubled)
    assert raw["dense"] == pytest.approx(np.linalg.norm(weights["dense"].astype("float64")))
    assert watcher.distances(weights, doubled, "euclidean") == raw
    assert watcher.distances(weights, doubled, "cka")["dense"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="method"):
        watcher.distances(weights, doubled, "cosine")
