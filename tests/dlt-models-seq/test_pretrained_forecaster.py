"""Fracast-0 built of Keras layers. Oracle: the authors' package, with the weights in its wheel."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from dl_techniques import weights as W

FOLDER = Path(__file__).parents[2] / "examples" / "pretrained"


@pytest.fixture
def example(monkeypatch):
    """The module of the example."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import fracast_zero

    yield fracast_zero
    for name in ("fracast_zero", "pinned_wheel"):
        sys.modules.pop(name, None)


@pytest.mark.oracle
def test_forecasts_agree_with_the_authors_package(example, tmp_path):
    """With gaps, an end that was not observed, no period, and a second block of steps."""
    fracast = pytest.importorskip("fracast")
    from dl_techniques.weights.integrity import file_hash

    file = Path(fracast.__file__).parent / "weights" / "model.safetensors"
    assert file_hash(file) == example.SHA256
    model = example.pretrained(file)
    peer = fracast.FracastModel.from_pretrained(weights="fp32")
    assert model.count_params() == 85_001
    rng = np.random.default_rng(0)
    time = np.arange(2300)
    series = np.stack(
        [
            np.sin(2 * np.pi * time / 24) + 0.2 * rng.normal(size=time.size),
            rng.normal(size=time.size).cumsum(),
            5 + np.sin(2 * np.pi * time / 7) * np.sin(time / 300),
            rng.normal(size=time.size),
        ]
    )
    series[0, 500:900] = np.nan
    series[1, -5:] = np.nan
    theirs = peer.forecast(series, horizon=60)
    ours = example.forecast(model, series, 60)
    scale = np.abs(theirs).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=1e-5)
    W.export(model, tmp_path / "back.safetensors", example.LAYOUT, like=None)
    back, source = W.open(tmp_path / "back.safetensors"), W.open(file)
    assert set(back) == set(source)
    for name in source:
        assert np.array_equal(np.reshape(back[name], -1), np.reshape(source[name], -1)), name
