"""`manifest write` was forgotten, or a namespace is another library's: who says so."""

from __future__ import annotations

import importlib
import itertools
import sys

import pytest

from dl_techniques.core import registry
from dl_techniques.core.cli import main
from dl_techniques.core.errors import ComponentImportError
from dl_techniques.core.project.drift import drift_problems
from dl_techniques.core.project.scaffold import create_plugin

WRITE = "dl-techniques manifest write"
serial = itertools.count()


@pytest.fixture
def editable(site, tmp_path, monkeypatch):
    """A generated plugin whose metadata lie in the site and whose source lies elsewhere."""
    name = f"acme-forgotten{next(serial)}"
    package = name.replace("-", "_")
    project = create_plugin(name, "layer", tmp_path)
    site.install(package, components=[])
    (site.folder / package / "components.json").unlink()
    (site.folder / package / "__init__.py").unlink()
    (site.folder / package).rmdir()
    monkeypatch.syspath_prepend(str(project / "src"))
    registry.refresh()
    return project / "src" / package


def add_door(folder):
    source = (folder / "gate.py").read_text()
    (folder / "door.py").write_text(source.replace("Gate", "Door"))


def test_nothing_is_said_while_the_manifest_is_right(editable):
    assert not drift_problems(editable.name)
    assert importlib.import_module(editable.name).Gate


def test_the_import_names_the_file_and_the_command(editable):
    add_door(editable)
    package = importlib.import_module(editable.name)
    with pytest.raises(ImportError) as caught:
        exec(f"from {editable.name} import Door")
    assert caught.value.path == str(editable / "door.py")
    assert WRITE in str(caught.value)
    assert not hasattr(package, "Window")
    importlib.import_module(f"{editable.name}.door")  # a module is not taken for a component


def test_doctor_names_the_command(editable, capsys):
    add_door(editable)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert f"{editable.name}>Door" in out
    assert WRITE in out


@pytest.mark.parametrize("target", ["{}", "{}>Door", "{}>Gate"])
def test_conformance_names_the_command(editable, target, capsys):
    add_door(editable)
    assert main(["conformance", target.format(editable.name), "--only", "rejections"]) == 1
    error = capsys.readouterr().err
    assert f"{editable.name}>Door" in error
    assert WRITE in error


def test_a_renamed_component_names_the_command(editable, capsys):
    source = editable / "gate.py"
    source.write_text(source.read_text().replace("class Gate", "class Portal"))
    with pytest.raises(ComponentImportError, match=WRITE):
        registry.load(f"{editable.name}>Gate")
    with pytest.raises(ImportError, match=WRITE):
        importlib.import_module(editable.name).Gate  # noqa: B018  # the access is what fails
    source.unlink()
    for module in [m for m in sys.modules if m.startswith(f"{editable.name}.")]:
        del sys.modules[module]
    with pytest.raises(ComponentImportError, match=WRITE):
        registry.load(f"{editable.name}>Gate")


def test_an_error_of_the_modules_own_code_is_left_as_it_is(editable):
    source = editable / "gate.py"
    source.write_text(source.read_text().replace("import keras\n", "import no_such_module\n"))
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        importlib.import_module(editable.name).Gate  # noqa: B018  # the access is what fails


def test_a_source_that_cannot_be_scanned_is_a_problem(editable):
    (editable / "door.py").write_text("def (")
    (problem,) = drift_problems(editable.name)
    assert "door.py:1" in problem.message


def test_the_namespace_of_another_library_is_warned_of(editable, capsys):
    source = editable / "gate.py"
    source.write_text(source.read_text().replace(f'"{editable.name}>Gate', '"keras_hub>Gate'))
    assert main(["manifest", "write", str(editable.parents[1])]) == 0
    assert "keras_hub" in capsys.readouterr().err
    registry.refresh()
    main(["conformance", editable.name, "--only", "rejections"])
    assert f"'{editable.name}>Gate'" in capsys.readouterr().err


def test_a_namespace_of_ones_own_is_not_warned_of(editable, capsys):
    source = editable / "gate.py"
    source.write_text(source.read_text().replace(f'"{editable.name}>Gate', '"acme.lab>Gate'))
    assert main(["manifest", "write", str(editable.parents[1])]) == 0
    assert not capsys.readouterr().err
