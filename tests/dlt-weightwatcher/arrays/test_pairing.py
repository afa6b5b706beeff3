"""Two models whose names differ by what wraps them; the oracle is NumPy's SVD of differences."""

from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.weightwatcher import SourceError, analyze_model, compare_models
from dl_techniques.weightwatcher.pairing import partners

RNG = np.random.default_rng(0)
BASE = {
    "embed_tokens.weight": RNG.normal(size=(50, 16)),
    **{f"layers.{i}.q_proj.weight": RNG.normal(size=(16, 16)) for i in range(3)},
    "norm.weight": np.ones(16),
}
TUNED = {name: array + 0.1 * RNG.normal(size=array.shape) for name, array in BASE.items()}


def renamed(tensors, prefix):
    return {f"{prefix}{name}": array for name, array in tensors.items()}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("module.", ""),
        ("_orig_mod.", ""),
        ("", "model."),
        ("base_model.model.model.", "model."),
        ("module._orig_mod.model.", "transformer."),
        ("state_dict.model.", "module."),
    ],
)
def test_a_base_is_found_behind_any_wrapper(ours, theirs):
    result = analyze_model(renamed(TUNED, ours), base=renamed(BASE, theirs), n_jobs=1)
    assert len(result) == 4
    for layer in result:
        name = layer["path"].removeprefix(ours)
        exact = np.linalg.svd(TUNED[name] - BASE[name], compute_uv=False) ** 2
        np.testing.assert_allclose(layer.esd[::-1], exact, rtol=1e-9)
    compared = compare_models({"a": renamed(BASE, theirs), "b": renamed(TUNED, ours)}, n_jobs=1)
    pairs = {
        (r["longname"].removeprefix(theirs), r["counterpart"].removeprefix(ours))
        for r in compared.layers
    }
    assert pairs == {(name, name) for name in BASE if name != "norm.weight"}


def test_wrappers_inside_a_name_do_not_count():
    inner = {name.replace("q_proj", "_orig_mod.q_proj.base_layer"): a for name, a in TUNED.items()}
    assert len(analyze_model(inner, base=BASE, n_jobs=1)) == 4


def test_a_head_and_added_tokens_do_not_matter():
    more = renamed(TUNED, "model.")
    added = np.concatenate([TUNED["embed_tokens.weight"], RNG.normal(size=(3, 16))])
    more["model.embed_tokens.weight"] = added
    more["lm_head.weight"] = added
    result = analyze_model(more, base=BASE, n_jobs=1)
    layer = result.layer("model.embed_tokens.weight")
    exact = np.linalg.norm(TUNED["embed_tokens.weight"] - BASE["embed_tokens.weight"], 2) ** 2
    assert layer["lambda_max"] == pytest.approx(exact)
    assert "(53, 16) and (50, 16)" in layer["note"]
    odd = {**TUNED, "layers.0.q_proj.weight": np.ones((20, 16))}
    left = analyze_model(odd, base=BASE, n_jobs=1)
    assert "layers.0.q_proj.weight" in {entry.path for entry in left.skipped}


def test_models_of_other_names_have_nothing_in_common():
    with pytest.raises(SourceError, match="in common"):
        analyze_model({"a.weight": np.eye(9)}, base={"b.kernel": np.eye(9)})
    assert partners(["x.a.weight"], ["y.b.weight"]) == {}
