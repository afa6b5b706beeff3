"""The table: bad input, invariance, options, workers, resuming."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time

import numpy as np
import pytest

from dl_techniques.weightwatcher import AnalysisResult, analyze_model, describe_model, engine

FAILURES = ("the eigenvalues overflow", "the eigenvalues underflow", "no start", "too few")


def records(source, **options):
    result = analyze_model(source, n_jobs=1, **options)
    return {record["longname"]: record for record in result.to_records()}


def numbers(result):
    """Everything in the rows, for comparing bits."""
    return json.dumps(result.to_records(), default=str)


def test_bad_input_makes_rows_that_say_so(heavy):
    broken = heavy.copy()
    broken[3, 4], broken[5, 6] = np.nan, np.inf
    found = records(
        {
            "good": heavy,
            "broken": broken,
            "zero": np.zeros((20, 20), "float32"),
            "ones": np.ones((64, 64), "float32"),
            "identity": np.eye(32, dtype="float32"),
            "rank1": np.outer(np.arange(1, 40), np.arange(1, 30)).astype("float32"),
            "tiny": np.ones((5, 5), "float32"),
        }
    )
    assert found["good"]["status"] == "ok"
    assert found["broken"]["status"] == "nonfinite"
    assert (found["broken"]["nan_count"], found["broken"]["inf_count"]) == (1, 1)
    assert found["zero"]["status"] == "zero"
    assert math.isnan(found["zero"]["alpha"])
    assert math.isnan(found["zero"]["log_norm"])
    for name, entropy in (("ones", 0), ("identity", 1), ("rank1", 0)):
        assert found[name]["status"] == "degenerate"
        assert math.isnan(found[name]["alpha"])
        assert found[name]["entropy"] == pytest.approx(entropy, abs=1e-6)
        assert found[name]["warning"] == ""
    assert found["tiny"]["status"] == "too_small"
    assert "min_evals" in found["tiny"]["reason"]


def test_only_good_rows_enter_the_summary(heavy):
    result = analyze_model({"a": heavy, "z": np.zeros((30, 30)), "n": heavy * np.nan}, n_jobs=1)
    summary = result.summary
    assert summary["status"] == {"ok": 1, "zero": 1, "nonfinite": 1}
    assert summary["counted"] == 1
    assert summary["metrics"]["alpha"]["mean"] == result[0]["alpha"]


@pytest.mark.parametrize("factor", [1e-3, 1e-8, 1e6])
def test_scale_changes_nothing_but_norms(heavy, factor):
    a, b = (records({"w": w})["w"] for w in (heavy.astype("float64"), heavy * np.float64(factor)))
    for name in (
        "alpha",
        "D",
        "sigma",
        "stable_rank",
        "entropy",
        "concentration_score",
        "alpha_hill",
        "gini",
    ):
        assert b[name] == pytest.approx(a[name], rel=1e-8)
    assert b["xmin"] == pytest.approx(a["xmin"] * factor**2, rel=1e-9)
    assert b["log_norm"] == pytest.approx(a["log_norm"] + 2 * math.log10(factor), rel=1e-9)
    assert a["norm"] == pytest.approx(np.linalg.norm(heavy.astype("float64")) ** 2)


def test_long_and_tied_and_wide_matrices():
    rng = np.random.default_rng(0)
    long = rng.normal(size=(60_000, 16)).astype("float32")
    result = analyze_model(
        {"emb": long, "head": long, "copy": long.copy(), "t": long[:40]}, n_jobs=1
    )
    assert [layer["longname"] for layer in result] == ["emb", "t"]
    assert result[0]["alias_of"] == ["head", "copy"]
    assert {e.path: e.reason for e in result.skipped} == {
        "head": "tied to emb",
        "copy": "tied to emb",
    }


@pytest.mark.parametrize(
    "option",
    [
        {"conv": "dense"},
        {"fit": "WPL"},
        {"xmin": -1.0},
        {"xmin": (3.0, 2.0)},
        {"xmin": "valley"},
        {"xmax": -2},
        {"min_tail": 1},
        {"bootstrap": -1},
        {"farms": 0.5},
        {"max_N": 0},
        {"n_jobs": 0},
        {"parallel": "carrier-pigeon"},
        {"compat": "powerlaw"},
        {"on_error": "ignore"},
        {"precision": "float16"},
        {"include": "re:("},
        {"seed": -1},
        {"detX": "yes"},
        {"xmax": True},
        {"parallel": 3},
        {"progress": 3},
        {"lora_scaling": "x"},
    ],
    ids=lambda option: next(iter(option)),
)
def test_wrong_options_are_refused_by_name(heavy, option):
    name = next(iter(option))
    settings = {"n_jobs": 2, **option} if name != "n_jobs" else option
    with pytest.raises((ValueError, TypeError), match=name):
        analyze_model({"w": heavy}, **settings)


def test_compat_refuses_options_that_would_not_act(heavy):
    with pytest.raises(ValueError, match="min_tail"):
        analyze_model({"w": heavy}, compat="weightwatcher", min_tail=10)


def test_filters_report_skipped_weights(weights):
    def names(**options):
        result = analyze_model(weights, n_jobs=1, **options)
        assert len(result) + len(result.skipped) == len(weights)
        return [layer["longname"] for layer in result]

    assert names(include="d*") == ["dense"]
    assert names(include=["dense", "re:^sq"]) == ["dense", "square"]
    assert names(exclude=lambda weight: len(weight.values.shape) > 2) == ["dense", "square"]
    assert names(max_N=None, include=lambda w: w.values.shape[0] > 100) == ["dense"]


def test_limits_of_size_make_rows(heavy):
    assert records({"w": heavy}, max_evals=50)["w"]["status"] == "too_large"
    assert records({"w": heavy}, max_N=200)["w"]["reason"] == "N = 300; `max_N` is 200"
    assert records({"w": heavy}, min_evals=101)["w"]["status"] == "too_small"


def test_every_optional_column_appears(weights):
    found = records(
        weights,
        detX=True,
        mp_fit=True,
        randomize=True,
        vectors=True,
        farms=1.0,
        bootstrap=20,
        gof=20,
        fit="best",
        fingers="test",
    )["dense"]
    for name in (
        "detX_num",
        "ERG_gap",
        "num_spikes",
        "sigma_mp",
        "max_rand_eval",
        "rand_wasserstein",
        "num_traps",
        "tail_mean_loc_ratio",
        "alpha_farms",
        "alpha_lo",
        "gof_p",
        "outlier_p",
    ):
        assert math.isfinite(found[name]), name
    assert found["fit_best"] in {"PL", "TPL", "exponential", "lognormal"}
    assert found["alpha_lo"] <= found["alpha"] <= found["alpha_hi"]


STATES = {"ok", "small", "degenerate", "zero", "nonfinite", "too_small", "too_large", "failed"}


@pytest.fixture(scope="module")
def hostile():
    """Any array: extreme, odd, empty, of every type and order."""
    rng = np.random.default_rng(0)
    arrays = {}
    for dtype in ("float64", "float32", "float16"):
        limits = np.finfo(dtype)
        plain = rng.normal(size=(40, 30))
        arrays |= {
            f"low_rank_{dtype}": (rng.normal(size=(40, 3)) @ rng.normal(size=(3, 30))).astype(
                dtype
            ),
            f"tiny_{dtype}": (plain * float(limits.tiny)).astype(dtype),
            f"subnormal_{dtype}": (plain * 3 * float(limits.smallest_subnormal)).astype(dtype),
            f"huge_{dtype}": (rng.uniform(-1, 1, (40, 30)) * float(limits.max)).astype(dtype),
            f"mixed_{dtype}": np.where(plain > 2, float(limits.max) / 2, float(limits.tiny)).astype(
                dtype
            ),
            f"one_entry_{dtype}": np.pad(np.ones((1, 1), dtype), 10),
            f"spike_{dtype}": np.diag([1e3] + [1] * 19).astype(dtype),
            f"pairs_{dtype}": np.diag([2] * 10 + [1] * 10).astype(dtype),
            f"infinite_{dtype}": np.full((20, 20), -np.inf, dtype),
            f"conv_{dtype}": rng.normal(size=(3, 3, 8, 16)).astype(dtype),
            f"ones_{dtype}": np.ones((20, 20), dtype),
            f"steep_{dtype}": np.diag(np.logspace(-4, 4, 30)).astype(dtype),
            f"zero_tap_{dtype}": np.stack([np.zeros((9, 8)), rng.normal(size=(9, 8))]).astype(
                dtype
            ),
        }
    return arrays | {
        "empty": np.empty((0, 5)),
        "row": rng.normal(size=(1, 50)),
        "scalar": np.float32(3),
        "bool": np.ones((9, 9), bool),
        "integers": rng.integers(-5, 5, (20, 20)),
        "complex": rng.normal(size=(9, 9)) + 1j,
        "objects": np.array([[None, 1]], object),
        "five_axes": rng.normal(size=(2, 2, 2, 8, 9)),
        "bytes": rng.integers(0, 255, (20, 20)).astype("uint8"),
        "fortran": np.asfortranarray(rng.normal(size=(40, 30))),
        "strided": rng.normal(size=(80, 60))[::-2, ::2],
        "big_endian": rng.normal(size=(40, 30)).astype(">f4"),
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"detX": True, "mp_fit": True, "randomize": True, "vectors": True, "farms": 2.0},
        {"fit": "best", "fingers": "test", "bootstrap": 3, "gof": 3},
        {"fit": "TPL", "fingers": "clip"},
        {"fit": "E_TPL", "xmax": 2},
        {"precision": "float32", "mp_fit": True, "randomize": True},
        {"method": "svd", "min_evals": 1},
        {"conv": "fft", "xmin": "peak"},
        {"compat": "weightwatcher", "mp_fit": True, "randomize": True, "detX": True},
    ],
    ids=str,
)
def test_nothing_breaks_an_analysis_and_nothing_is_dropped(hostile, options):
    """No exception, no warning, and a row or a reason for each."""
    result = analyze_model(hostile, n_jobs=1, **options)
    seen = {layer["path"] for layer in result} | {entry.path for entry in result.skipped}
    assert seen == hostile.keys()
    for record in result.to_records():
        assert record["status"] in STATES
        if record["status"] == "failed":
            assert record["reason"].startswith(FAILURES)
        if record["status"] in {"ok", "small"}:
            assert math.isfinite(record["alpha"])
        if "compat" not in options:
            for name in ("entropy", "concentration_score", "gini", "top1_share"):
                value = record[name]
                assert math.isnan(value) or -1e-9 <= value <= 1 + 1e-9, name
    json.loads(result.to_json())
    repr(result)


def test_extreme_matrices_have_a_page(hostile):
    assert "huge_float64" in analyze_model(hostile, n_jobs=1, xmax=3).to_html()


def test_a_matrix_of_low_rank_is_no_spectrum_in_single_precision_either():
    one = np.outer(np.arange(1, 61), np.arange(1, 41)).astype("float32")
    assert analyze_model({"w": one}, n_jobs=1, precision="float32")[0]["status"] == "degenerate"


def test_sparse_matrices_are_analysed(heavy):
    sparse = pytest.importorskip("scipy.sparse").csr_matrix(heavy)
    assert analyze_model({"w": sparse}, n_jobs=1)[0]["alpha"] == records({"w": heavy})["w"]["alpha"]


def test_names_that_are_no_text_or_formulas_go_through_everything(heavy, tmp_path):
    names = ("sur\udce9", "=1+1", "@SUM(1)", "$\\frac{$", "\x1b[31m")
    result = analyze_model(
        {name: heavy + i for i, name in enumerate(names)}, n_jobs=1, resume=tmp_path / "kept"
    )
    assert [layer["longname"] for layer in result] == ["sur\\udce9", *names[1:]]
    result.to_csv(tmp_path / "r.csv")
    cells = [line.split(",")[1] for line in (tmp_path / "r.csv").read_text().splitlines()[1:]]
    assert cells[1:3] == ["'=1+1", "'@SUM(1)"]
    assert "$\\frac{$" in result.to_html(tmp_path / "r.html")
    for layer in result:
        result.plot("esd", layer["longname"]).savefig(tmp_path / "p.png")


def test_frequencies_of_a_convolution_keep_their_imaginary_parts():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 6, 8))
    layer = analyze_model({"conv": kernel}, n_jobs=1, conv="fft", conv_layout="hwio")[0]
    frequencies = np.fft.fft2(kernel, axes=(0, 1)).reshape(9, 6, 8)
    expected = np.sort(np.linalg.svd(frequencies, compute_uv=False) ** 2, axis=None)
    np.testing.assert_allclose(layer.esd, expected, rtol=1e-9)


def test_fit_variants(weights):
    assert math.isfinite(records(weights, fit="TPL")["dense"]["Lambda"])
    assert math.isfinite(records(weights, fit="E_TPL")["dense"]["alpha"])
    nothing = records(weights, fit=None)["dense"]
    assert math.isnan(nothing["alpha"])
    assert nothing["status"] == "ok"
    assert math.isfinite(nothing["stable_rank"])


def test_random_options_are_seeded(weights):
    options = {"randomize": True, "bootstrap": 10, "n_jobs": 1}
    first, again = (analyze_model(weights, **options) for _ in range(2))
    other = analyze_model(weights, seed=1, **options)
    assert numbers(first) == numbers(again)
    assert first[0]["max_rand_eval"] != other[0]["max_rand_eval"]


@pytest.mark.parametrize("shape", [(150, 150), (40, 60)])
def test_a_state_dict_of_torch_gives_the_rows_of_keras(shape):
    kernel = np.random.default_rng(0).standard_t(3, shape).astype("float32")
    a, b = (
        analyze_model({name: np.ascontiguousarray(array)}, n_jobs=1, vectors=True)[0]
        for name, array in (("d/kernel", kernel), ("d.weight", kernel.T))
    )
    names = a.row.keys() - {"name", "longname", "path", "layer_type"}
    assert {k: a[k] for k in names} == {k: b[k] for k in names}
    assert np.array_equal(a.esd, b.esd)


@pytest.mark.parametrize("parallel", ["threads", "loky"])
def test_workers_change_no_bit(weights, parallel):
    options = {"randomize": True, "mp_fit": True, "bootstrap": 5}
    alone = analyze_model(weights, n_jobs=1, **options)
    together = analyze_model(weights, n_jobs=2, parallel=parallel, **options)
    assert numbers(alone) == numbers(together)
    for a, b in zip(alone, together, strict=True):
        assert np.array_equal(a.esd, b.esd)


def test_single_precision_is_close(weights):
    exact, fast = (records(weights, precision=p) for p in ("float64", "float32"))
    for name, row in exact.items():
        assert fast[name]["alpha"] == pytest.approx(row["alpha"], abs=1e-3)
        assert fast[name]["log_norm"] == pytest.approx(row["log_norm"], abs=1e-5)


def test_errors_can_be_raised_instead(heavy):
    broken = heavy.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ValueError, match="w holds 1 NaN"):
        analyze_model({"w": broken}, on_error="raise", n_jobs=1)


def test_progress_is_reported_to_a_function(weights):
    calls = []
    analyze_model(weights, n_jobs=2, progress=lambda *call: calls.append(call))
    assert [done for done, _, _ in calls] == [1, 2, 3]
    assert {name for *_, name in calls} == {"dense", "square", "conv"}


def test_progress_shows_a_bar_on_standard_error(weights, capsys):
    analyze_model(weights, n_jobs=1, progress=True)
    captured = capsys.readouterr()
    assert "3/3" in captured.err
    assert not captured.out


def test_describe_has_the_rows_of_analyze(weights):
    full, quick = analyze_model(weights, n_jobs=1), describe_model(weights)
    keys = ("layer_id", "longname", "N", "M", "Q", "rf", "num_evals", "dtype")
    assert [[a[k] for k in keys] for a in full] == [[b[k] for k in keys] for b in quick]
    assert full.skipped == quick.skipped
    with pytest.raises(TypeError, match="colour"):
        describe_model(weights, colour="red")


def test_results_travel_through_json_csv_and_folders(weights, tmp_path):
    result = analyze_model({**weights, "zero": np.zeros((9, 9))}, n_jobs=1)
    text = result.to_json(tmp_path / "r.json")
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert content["layers"][3]["alpha"] is None
    again = AnalysisResult.from_json(tmp_path / "r.json")
    assert json.loads(again.to_json()) == content
    result.to_csv(tmp_path / "r.csv")
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("layer_id,name,longname")
    result.save(tmp_path / "saved")
    loaded = AnalysisResult.load(tmp_path / "saved")
    assert numbers(loaded) == numbers(result)
    assert np.array_equal(loaded[0].esd, result[0].esd)
    with pytest.raises(ValueError, match="no analysis"):
        AnalysisResult.load(tmp_path)
    with pytest.raises(ValueError, match="schema"):
        AnalysisResult.from_json("{}")


def test_layers_are_found_by_name_and_id(weights):
    result = analyze_model(weights, n_jobs=1)
    assert result.layer("dense") is result.layer(0) is result[0]
    with pytest.raises(KeyError, match="Among those that there are: dense"):
        result.layer("missing")


@pytest.mark.parametrize("size", [1e-160, 1e-200, 1e-310])
def test_weights_whose_squares_vanish_are_not_called_zero(size):
    weights = np.random.default_rng(0).normal(size=(60, 40))
    row = analyze_model({"w": weights * size}, n_jobs=1)[0]
    assert (row["status"], row["reason"]) == ("failed", "the eigenvalues underflow")
    row = analyze_model({"w": weights * 1e-140}, n_jobs=1)[0]
    assert row["alpha"] == pytest.approx(analyze_model({"w": weights}, n_jobs=1)[0]["alpha"], 1e-9)


def test_masked_values_are_not_invented(weights):
    hidden = np.ma.masked_greater(weights["dense"], 0)
    whole = np.ma.array(weights["dense"])
    result = analyze_model({"hidden": hidden, "whole": whole}, n_jobs=1)
    assert [(e.path, e.shape) for e in result.skipped] == [("hidden", weights["dense"].shape)]
    assert "masked entries" in result.skipped[0].reason
    assert numbers(result) == numbers(analyze_model({"whole": weights["dense"]}, n_jobs=1))


def test_an_interrupt_ends_the_workers_at_once(heavy, monkeypatch):
    begun = []

    def counted(job, settings):
        begun.append(job.name)
        return perform(job, settings)

    def stop(done, total, name):
        raise KeyboardInterrupt

    perform = engine.perform
    monkeypatch.setattr(engine, "perform", counted)
    weights = {f"w{i}": heavy + i for i in range(60)}
    try:
        analyze_model(weights, n_jobs=2, progress=stop)
    except KeyboardInterrupt:
        # Here the traceback still holds all that was going on.
        reached = len(begun)
        assert reached < 30
        time.sleep(0.3)
        assert len(begun) == reached
    else:
        pytest.fail("nothing was interrupted")


def test_a_file_is_no_folder_to_resume_from(weights, tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match=r"Expected a folder .* Received: .*file"):
        analyze_model(weights, resume=file)
    with pytest.raises(ValueError, match="Expected a folder"):
        AnalysisResult.load(file)


def test_an_analysis_is_resumed_where_it_stopped(weights, tmp_path):
    folder = tmp_path / "kept"

    def stop(done, total, name):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyze_model(weights, n_jobs=1, resume=folder, progress=stop)
    assert len(AnalysisResult.load(folder)) == 1
    done = []
    result = analyze_model(weights, n_jobs=1, resume=folder, progress=lambda *c: done.append(c[2]))
    assert len(done) == 2
    assert numbers(result) == numbers(analyze_model(weights, n_jobs=1))
    done.clear()
    analyze_model(weights, n_jobs=1, resume=folder, progress=lambda *c: done.append(c[2]))
    assert not done
    changed = {**weights, "dense": weights["dense"] + 1}
    analyze_model(changed, n_jobs=1, resume=folder, progress=lambda *c: done.append(c[2]))
    assert done == ["dense"]
    analyze_model(
        weights, n_jobs=1, resume=folder, mp_fit=True, progress=lambda *c: done.append(c[2])
    )
    assert len(done) == 4
    assert not list(folder.rglob("*.saving"))


def test_a_saved_analysis_of_a_file_is_resumed(weights, tmp_path):
    np.savez(tmp_path / "w.npz", **weights)
    first = analyze_model(tmp_path / "w.npz", n_jobs=1)
    first.save(tmp_path / "kept")
    done = []

    def again(**options):
        done.clear()
        options = {"n_jobs": 1, "resume": tmp_path / "kept", **options}
        return analyze_model(
            tmp_path / "w.npz", progress=lambda *call: done.append(call[2]), **options
        )

    assert numbers(again()) == numbers(first)
    assert not done
    again(min_tail=10)
    assert len(done) == 3
    np.savez(tmp_path / "w.npz", **{n: 2 * a for n, a in weights.items()})
    assert again()[0]["norm"] == pytest.approx(4 * first[0]["norm"])
    assert len(done) == 3


def test_a_folder_holds_the_last_result_only(weights, tmp_path):
    analyze_model(weights, n_jobs=1).save(tmp_path)
    other = analyze_model({"dense": weights["square"]}, n_jobs=1)
    other.save(tmp_path)
    loaded = AnalysisResult.load(tmp_path)
    assert numbers(loaded) == numbers(other)

    def stop(done, total, name):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyze_model(weights, n_jobs=1, resume=tmp_path, progress=stop)
    assert len(AnalysisResult.load(tmp_path)) == 0


def test_the_table_is_readable(weights):
    text = repr(analyze_model({**weights, "zero": np.zeros((9, 9))}, n_jobs=1, bootstrap=10))
    assert "9 x 24 x 16" in text
    assert "zero: zero: all weights are zero" in text
    assert "1 tensors skipped" in text
    assert "<table>" in analyze_model(weights, n_jobs=1)._repr_html_()


def test_data_frames_need_pandas_only_when_asked_for(weights):
    result = analyze_model(weights, n_jobs=1)
    try:
        import pandas  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"dlt-weightwatcher\[pandas\]"):
            result.to_dataframe()
    else:
        frame = result.to_dataframe()
        assert list(frame["longname"]) == ["dense", "square", "conv"]


def test_no_backend_is_imported_and_nothing_global_changes(tmp_path, weights):
    np.savez(tmp_path / "w.npz", **weights)
    code = """
import logging, sys, warnings
import joblib, numpy, scipy.optimize, scipy.special  # NumPy and SciPy add filters of their own
before = (list(logging.root.handlers), logging.root.level, list(warnings.filters))
from dl_techniques.weightwatcher import analyze_model, WeightWatcher, compare_models
state = numpy.random.get_state()[1].tolist()
result = analyze_model(sys.argv[1], n_jobs=2, randomize=True, bootstrap=5)
assert len(result) == 3
heavy = {"keras", "tensorflow", "jax", "torch", "pandas", "matplotlib"} & sys.modules.keys()
assert not heavy, heavy
assert before == (list(logging.root.handlers), logging.root.level, list(warnings.filters))
assert numpy.random.get_state()[1].tolist() == state
"""
    command = [sys.executable, "-c", code, str(tmp_path / "w.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stdout
