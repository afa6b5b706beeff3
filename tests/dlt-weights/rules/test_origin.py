"""Where weights come from, from the listing to the file of a model and the command line."""

from __future__ import annotations

import hashlib
import json

import keras
import numpy as np

from dl_techniques import weights as W
from dl_techniques.core import load_model, save_model
from dl_techniques.core.cli import main

LAYOUT = W.Layout("torch", (W.Rule("fc", "head", W.LINEAR),))


def network():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])


def test_the_origin_of_weights_is_kept_and_shown(tmp_path, capsys):
    source = tmp_path / "weights.npz"
    np.savez(source, **{"fc.weight": np.eye(2, 3, dtype="float32"), "fc.bias": np.ones(2, "f4")})
    model = network()
    W.load(model, source, LAYOUT)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    expected = {
        "source": "weights.npz",
        "sha256": digest,
        "licence": "unknown",
        "layout": "torch",
        "rules": LAYOUT.digest,
    }
    assert dict(model.weights_origin) == expected
    save_model(model, tmp_path / "model.keras")
    assert dict(load_model(tmp_path / "model.keras").weights_origin) == expected
    assert main(["inspect", str(tmp_path / "model.keras")]) == 0
    shown = capsys.readouterr().out
    assert f"weights: sha256 {digest}" in shown
    assert "weights: licence unknown" in shown
    # A second generation keeps it; random weights have none.
    save_model(load_model(tmp_path / "model.keras"), tmp_path / "again.keras")
    assert dict(load_model(tmp_path / "again.keras").weights_origin) == expected
    save_model(network(), tmp_path / "random.keras")
    assert not hasattr(load_model(tmp_path / "random.keras"), "weights_origin")


def test_a_listed_file_names_its_revision_and_licence(tmp_path, monkeypatch, entry):
    source = tmp_path / "weights.npz"
    np.savez(source, **{"fc.weight": np.eye(2, 3, dtype="float32"), "fc.bias": np.ones(2, "f4")})
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    row = entry(sha256=digest, size=source.stat().st_size)
    monkeypatch.setattr("dl_techniques.weights.download.fetch", lambda *_, **__: source)
    model = network()
    W.load(model, row, LAYOUT)
    assert model.weights_origin["sha256"] == digest
    assert model.weights_origin["licence"] == "apache-2.0"
    assert model.weights_origin["source"] == str(row.sources[0])


def test_models_are_listed_with_variants_weights_and_licences(install, row, capsys):
    component = {
        "id": "acme>Net",
        "kind": "model",
        "object": "acme_nets:Net",
        "summary": "A net.",
        "variants": ["tiny", "base"],
    }
    rows = [row(component="acme>Net"), row(component="acme>Net", tag="other", licence="mit")]
    install("acme-nets", rows, components=[component])
    assert main(["list", "--kind", "model"]) == 0
    header, line = (
        text for text in capsys.readouterr().out.splitlines() if "ID" in text or "acme>Net" in text
    )
    assert header.split()[-4:] == ["VARIANTS", "WEIGHTS", "LICENCES", "SUMMARY"]
    assert "tiny base" in line
    assert "apache-2.0 mit" in line
    assert main(["list", "--kind", "model", "--json"]) == 0
    (record,) = [
        record
        for record in json.loads(capsys.readouterr().out)["components"]
        if record["id"] == "acme>Net"
    ]
    assert record["weights"] == "2"
    assert record["licences"] == "apache-2.0 mit"
