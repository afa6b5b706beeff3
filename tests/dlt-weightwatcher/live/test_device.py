"""`device=` on the active backend. There is a processor everywhere, and its path is a GPU's."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from dl_techniques.weightwatcher import analyze_model, eigenvalues  # noqa: E402  # needs Keras
from dl_techniques.weightwatcher.numerics import device, spectrum  # noqa: E402


@pytest.mark.parametrize(
    ("options", "digits"),
    [({}, 1e-9), ({"precision": "float32"}, 1e-3), ({"conv": "fft"}, 1e-9)],
    ids=["float64", "float32", "complex"],
)
def test_rows_are_those_of_numpy(options, digits, monkeypatch):
    rng = np.random.default_rng(0)
    # Of one size, as JAX compiles for each.
    weights = {
        "dense": rng.standard_t(3, (48, 24)).astype("float32"),
        "kernel": rng.standard_t(3, (2, 48, 24)),
        "zero": np.zeros((48, 24)),
        "nan": np.full((48, 24), np.nan, "float32"),
    }
    here = analyze_model(weights, n_jobs=1, randomize=True, **options)
    monkeypatch.setattr(spectrum, "_grams", None)  # nothing may be left to NumPy
    monkeypatch.setattr(spectrum, "_BLOCK", 24 * 24)  # two blocks
    there = analyze_model(weights, device="cpu", randomize=True, **options)
    assert there.settings["device"] == "cpu"
    for a, b in zip(here.to_records(), there.to_records(), strict=True):
        assert a["status"] == b["status"]
        for name in ("alpha", "entropy", "log_norm", "max_rand_eval"):
            assert b[name] == pytest.approx(a[name], rel=digits, nan_ok=True)


def test_the_eigenvalues_come_from_the_backend():
    matrix = np.random.default_rng(0).normal(size=(50, 40))
    found = device.solver_for("cpu:0").eigenvalues([matrix[:30], matrix[30:]])
    np.testing.assert_allclose(found, eigenvalues(matrix), rtol=1e-9)
    assert type(device.solver_for("cpu")).__name__.lower() == f"_{keras.backend.backend()}"


@pytest.mark.parametrize("name", ["abacus", "cpu:77", "cpu:one", "", 3])
def test_missing_devices_fail_at_once(weights, name):
    with pytest.raises(ValueError, match="`device`"):
        analyze_model(weights, device=name)


def test_other_processes_and_unfit_devices_are_refused(weights, monkeypatch):
    with pytest.raises(ValueError, match="parallel"):
        analyze_model(weights, device="cpu", parallel="loky")
    monkeypatch.setattr(device, "_imported", lambda: None)
    with pytest.raises(ValueError, match="is to be imported before"):
        analyze_model(weights, device="cpu")

    class Half:
        def eigenvalues(self, blocks):
            return np.zeros(2, "float32")

    monkeypatch.setattr(device, "solver_for", lambda _: Half())
    with pytest.raises(ValueError, match="does not compute in float64"):
        analyze_model(weights, device="cpu")
