"""Typical mistakes of a first plugin, each told first, in words, with few checks carried out."""

from __future__ import annotations

import importlib
import sys

import keras
import pytest
from mistakes import MISTAKES

from dl_techniques.core.project.scaffold import create_plugin
from dl_techniques.core.testing import check_component

# The causes are told in the words of JAX's errors; other backends run into some of them elsewhere.
pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="told on JAX")


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The source of the layer that `dl-techniques new` writes, and a folder to import from."""
    folder = tmp_path_factory.mktemp("plugin")
    source = create_plugin("acme-gates", "layer", folder) / "src" / "acme_gates" / "gate.py"
    sys.path.insert(0, str(folder))
    yield source.read_text(), folder
    sys.path.remove(str(folder))


def component(generated, number, replace):
    """The generated layer with a change, as a class of a package of its own."""
    source, folder = generated
    for old, new in replace:
        assert source.count(old) == 1, f"the template no longer has {old!r}"
        source = source.replace(old, new)
    package = f"acme_gates_{number}"
    (folder / package).mkdir(exist_ok=True)
    (folder / package / "__init__.py").write_text("from .gate import Gate\n")
    (folder / package / "gate.py").write_text(source.replace("acme_gates", package))
    importlib.invalidate_caches()
    return importlib.import_module(f"{package}.gate").Gate


def test_the_generated_layer_has_no_mistake(generated):
    # A package that is not installed can be loaded by no fresh process.
    report = check_component(component(generated, "sound", ()))
    assert [r.check for r in report.failures] in ([], ["fresh_process"])
    assert not report.warnings


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_reported_first(generated, name, capsys):
    mistake = MISTAKES[name]
    if mistake.backends and keras.backend.backend() not in mistake.backends:
        pytest.skip(f"shows on {mistake.backends} only")
    report = check_component(component(generated, [*MISTAKES].index(name), mistake.replace))
    capsys.readouterr()
    first = report.summary().splitlines()[0]
    assert first.startswith("FAILED")
    for fragment in mistake.told:
        assert fragment in first
    assert "\x1b" not in report.summary()
    assert "_error_repr" not in report.summary()
    # One mistake is told in few lines, whatever number of checks it fails.
    causes = {result.cause or result.check for result in report.failures}
    assert len(causes) <= mistake.causes, report.summary()
    assert all(r.status != "passed" for r in report if r.check == "fresh_process")


def test_a_layer_that_cannot_be_called_costs_few_checks(generated):
    name = "misspelt attribute"
    report = check_component(component(generated, "called", MISTAKES[name].replace))
    assert report.counts["failed"] <= 4
    assert report.counts["skipped"] > 2 * report.ran
