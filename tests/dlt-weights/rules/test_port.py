"""Oracle: property. A stranger's model gets its rules in a plugin, and its weights from a file."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from dl_techniques import weights as W

CODE = """
import keras
from dl_techniques.core import component

@component("acme>Net", kind="model", variants=("tiny", "large"))
def Net(variant="tiny", classes=2):
    width = {"tiny": 3, "large": 5}[variant]
    layers = [keras.layers.Dense(width, activation="relu", name="fc1")]
    layers.append(keras.layers.Dense(classes, name="fc2"))
    return keras.Sequential([keras.Input((4,)), *layers])
"""
RULES = """
from dl_techniques.weights import LINEAR, Layout, Rule

TORCH = Layout("torch", (Rule("net.fc1", "fc1", LINEAR), Rule("net.fc2", "fc2", LINEAR)))
OFFICIAL = Layout("official", (Rule("l1", "fc1", LINEAR), Rule("l2", "fc2", LINEAR)))
NOTHING = "no layout"
"""


@pytest.fixture
def plugin(install, row):
    component = {
        "id": "acme>Net",
        "kind": "model",
        "object": "acme_net.net:Net",
        "summary": "A net.",
        "variants": ["tiny", "large"],
    }
    layouts = [
        {"component": "acme>Net", "name": name, "object": f"acme_net.rules:{name.upper()}"}
        for name in ("torch", "official")
    ]
    folder = install("acme-net", [row()], layouts, [component], code="")
    (folder / "net.py").write_text(CODE)
    (folder / "rules.py").write_text(RULES)
    return folder


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    shapes = {"fc1.weight": (3, 4), "fc1.bias": (3,), "fc2.weight": (2, 3), "fc2.bias": (2,)}
    return {f"net.{n}": rng.normal(size=s).astype("float32") for n, s in shapes.items()}


def port(*arguments):
    from dl_techniques.core.cli import main

    return main(["port", *map(str, arguments)])


def test_port(plugin, arrays, tmp_path, capsys):
    np.savez(tmp_path / "source.npz", **arrays)
    target, report, golden = (tmp_path / n for n in ("net.keras", "report.json", "golden.npz"))
    extras = ("--report", report, "--golden", golden)
    assert port(tmp_path / "source.npz", "--to", "acme>Net", "-o", target, *extras) == 0
    assert "net.fc1.weight  LINEAR  fc1.kernel  4x3" in capsys.readouterr().out
    account = json.loads(report.read_text())
    assert account["layout"] == "torch"
    assert len(account["sha256"]) == len(account["rules"]) == 64
    model = keras.saving.load_model(target)
    recorded = np.load(golden)
    hidden = np.maximum(recorded["input"] @ arrays["net.fc1.weight"].T + arrays["net.fc1.bias"], 0)
    expected = hidden @ arrays["net.fc2.weight"].T + arrays["net.fc2.bias"]
    np.testing.assert_allclose(recorded["output"], expected, atol=1e-5)
    actual = keras.ops.convert_to_numpy(model(recorded["input"]))
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_port_reports_mismatches_and_writes_nothing(plugin, arrays, tmp_path, capsys):
    source, target = tmp_path / "source.npz", tmp_path / "net.keras"
    np.savez(source, **arrays)
    report = tmp_path / "report.json"
    large = ("--variant", "large", "--report", report)
    assert port(source, "--to", "acme>Net", "-o", target, *large) == 2
    assert "mismatched: net.fc1.weight" in capsys.readouterr().out
    assert json.loads(report.read_text())["mismatched"]
    np.savez(source, **arrays, other=np.ones(1))
    assert port(source, "--to", "acme>Net", "-o", target) == 2
    assert "torch leaves 1: other" in capsys.readouterr().err
    assert port(source, "--to", "acme>Net", "-o", target, "--layout", "timm") == 2
    assert "It has: torch, official." in capsys.readouterr().err
    assert not target.exists()


def test_port_with_another_head(plugin, arrays, tmp_path):
    np.savez(tmp_path / "source.npz", **arrays)
    target = tmp_path / "net.keras"
    arguments = (tmp_path / "source.npz", "--to", "acme>Net", "-o", target, "--config")
    assert port(*arguments, '{"classes": 7}') == 2
    assert port(*arguments, '{"classes": 7}', "--allow-missing", "*fc2*") == 0
    assert keras.saving.load_model(target).output_shape == (None, 7)
    assert port(*arguments, "[]") == 1
    assert port(*arguments[:3], "-o", tmp_path / "net.h5") == 1


def test_the_layout_may_be_named_or_inferred(plugin, arrays, tmp_path):
    from dl_techniques.core import registry
    from dl_techniques.weights.catalog import layouts_of, load_layout
    from dl_techniques.weights.rules.load import infer_layout

    layouts = [load_layout(row) for row in layouts_of("acme>Net").values()]
    assert infer_layout(layouts, arrays, "net").name == "torch"
    with pytest.raises(W.UnknownWeights, match="Several"):
        infer_layout([*layouts, *layouts], arrays, "net")
    model = registry.load("acme>Net")()
    report = W.load(model, arrays, layouts[0])
    assert report.layout == "torch"
    W.export(model, tmp_path / "official.npz", layouts[1])
    assert set(W.open(tmp_path / "official.npz")) == {
        f"l{i}.{n}" for i in (1, 2) for n in ("weight", "bias")
    }


def test_rules_that_cannot_be_imported_are_named(plugin):
    from dl_techniques.weights.catalog import layouts_of, load_layout

    row = layouts_of("acme>Net")["torch"]
    for address in ("acme_net.gone:TORCH", "acme_net.rules:GONE", "acme_net.rules:NOTHING"):
        with pytest.raises(W.UnknownWeights, match="acme-net"):
            load_layout(row._replace(object=address))
