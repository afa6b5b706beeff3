"""The manifest generator: what it reads, what it refuses, what it writes."""

from __future__ import annotations

import importlib
import json
import sys

import pytest

from dl_techniques.core.cli import main
from dl_techniques.core.project.scan import Package, ScanError, find_packages, generate, scan

GATE = '''
from dl_techniques.core import Layer, component

raise RuntimeError("a scan must not import this")

@component(
    "acme>Gate", kind="layer", tags=["gating", "fast"], paper="arXiv:1", aliases=("acme>OldGate",)
)
class Gate(Layer):
    """Opens and closes.

    More text.
    """
'''

LAZY = (
    "from dl_techniques.core.lazy import exports\n"
    "__getattr__, __dir__, __all__ = exports(__name__)\n"
)


@pytest.fixture
def project(tmp_path):
    """A project with one package, one sub-package and one component in it."""
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "acme"\n'
        '[project.entry-points."dl_techniques.components"]\nacme = "acme:components.json"\n'
    )
    package = tmp_path / "src" / "acme"
    (package / "gates").mkdir(parents=True)
    for folder in (package, package / "gates"):
        (folder / "__init__.py").write_text(LAZY)
    (package / "gates" / "gate.py").write_text(GATE)
    return tmp_path


@pytest.fixture
def importable(project, monkeypatch):
    """The project on the path; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(project / "src"))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[name]


def package(project):
    return Package("acme", project / "src" / "acme")


def test_declarations_are_read_without_importing(project):
    (record,) = scan(package(project))
    assert record.id == "acme>Gate"
    assert record.object == "acme.gates.gate:Gate"
    assert record.summary == "Opens and closes."
    assert record.tags == ("gating", "fast")
    assert record.aliases == ("acme>OldGate",)


def test_write_then_check_then_drift(project, capsys, monkeypatch):
    monkeypatch.chdir(project)
    assert main(["manifest", "write"]) == 0
    assert main(["manifest", "check"]) == 0
    folder = project / "src" / "acme"
    written = json.loads((folder / "components.json").read_text())
    assert written["components"][0]["id"] == "acme>Gate"
    assert "OldGate = Gate" in (folder / "__init__.pyi").read_text()
    assert "Gate as Gate" in (folder / "gates" / "__init__.pyi").read_text()
    gate = folder / "gates" / "gate.py"
    gate.write_text(gate.read_text().replace("Opens and closes.", "Opens."))
    capsys.readouterr()
    assert main(["manifest", "check"]) == 1
    out = capsys.readouterr().out
    assert '+      "summary": "Opens."' in out
    assert main(["manifest", "write"]) == 0
    assert main(["manifest", "check"]) == 0


def test_writing_is_deterministic_and_a_stub_without_components_goes_away(project):
    for file in generate(package(project)):
        file.write()
    assert not any(file.drifted for file in generate(package(project)))
    (project / "src" / "acme" / "gates" / "gate.py").unlink()
    files = {
        file.path.name: file for file in generate(package(project)) if "gates" in str(file.path)
    }
    assert files["__init__.pyi"].text is None
    files["__init__.pyi"].write()
    assert not files["__init__.pyi"].path.exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('tags=["gating", "fast"]', "tags=TAGS", r"gate\.py:6: `tags` must be a literal"),
        ('"acme>Gate"', '"acme/Gate"', r"gate\.py:6: .*identifier must read"),
        ('kind="layer"', 'kind="gate"', r"gate\.py:6: `kind`"),
        ('paper="arXiv:1"', "**extra", r"gate\.py:6: .*written out"),
        ('paper="arXiv:1"', "papers=1", r"gate\.py:6: .*no argument 'papers'"),
        ("Opens and closes.", "", r"gate\.py"),
        ('"acme>OldGate"', '"other>OldGate"', "own namespace"),
        ("class Gate", "class 1Gate", r"gate\.py:9"),
        ("class Gate(Layer):", "class Gate(Layer):\0", r"gate\.py:\d+: .*null bytes"),
        ('tags=["gating", "fast"]', 'tags="gating"', r"gate\.py:6: `tags` must be a list"),
        ('tags=["gating", "fast"]', 'tags={"gating"}', r"gate\.py:6: `tags` must be a list"),
        ('tags=["gating", "fast"]', "tags={[]: 1}", r"gate\.py:6: `tags` must be a literal"),
        ('paper="arXiv:1"', "since=0.1", r"gate\.py:6: `since` must be a text"),
        ('paper="arXiv:1"', "unsafe=1", r"gate\.py:6: `unsafe` must be true or false"),
        ('paper="arXiv:1"', 'paper=b"arXiv:1"', r"gate\.py:6: `paper` must be a text"),
        ('kind="layer", ', "", r"gate\.py:6: `kind`"),
        ("Opens and closes.", "Opens \\x1b[31m", r"gate\.py:6: `summary` holds control"),
        ('"acme>Gate"', '"acme>None"', r"gate\.py:6: .*keyword of Python"),
        ('"acme>OldGate"', '"acme>Gate"', r"gate\.py:6: `aliases` must be distinct"),
    ],
)
def test_unreadable_declarations_name_file_and_line(project, old, new, message):
    file = project / "src" / "acme" / "gates" / "gate.py"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    if new == "":
        file.write_text(text[: text.index('"""')] + "    x = 1\n")
        message = "needs a docstring"
    with pytest.raises(ScanError, match=message):
        generate(package(project))


@pytest.mark.parametrize(
    "other",
    [
        'component("acme>Gate", kind="layer")\nclass Second(Layer):',
        'component("acme>Second", kind="layer", aliases=("acme>OldGate",))\nclass Second(Layer):',
        'component("acme>Second", kind="layer")\nclass Gate(Layer):',
        'component("acme>OldGate", kind="layer")\nclass Second(Layer):',
    ],
)
def test_clashing_names_are_refused_with_both_places(project, other):
    file = project / "src" / "acme" / "second.py"
    file.write_text(f'@{other}\n    """Also a gate."""\n')
    with pytest.raises(
        ScanError, match=r"second\.py:1: .*already taken at .*gate\.py:6|gate\.py:6: .*second\.py:1"
    ):
        scan(package(project))


def test_a_nested_declaration_is_refused(project):
    file = project / "src" / "acme" / "second.py"
    file.write_text(
        'def f():\n    @component("acme>In", kind="layer")\n    class In:\n        """x"""\n'
    )
    with pytest.raises(ScanError, match="top of its module"):
        scan(package(project))


def declare(project, text):
    """A second module, whose imports are as given."""
    file = project / "src" / "acme" / "second.py"
    file.write_text(f'{text}\nclass Second:\n    """Also a gate."""\n')
    return [record.id for record in scan(package(project)) if record.object.endswith(":Second")]


@pytest.mark.parametrize(
    "text",
    [
        'from dl_techniques.core import component\n@component("acme>Second", kind="layer")',
        'from dl_techniques.core import component as c\n@c("acme>Second", kind="layer")',
        'from dl_techniques import core\n@core.component("acme>Second", kind="layer")',
        'import dl_techniques.core as dl\n@dl.component("acme>Second", kind="layer")',
        'import dl_techniques.core\n@dl_techniques.core.component("acme>Second", kind="layer")',
        'from acme.base import component\n@component("acme>Second", kind="layer")',
        'from .base import component\n@component("acme>Second", kind="layer")',
    ],
)
def test_the_decorator_is_known_by_all_its_names(project, text):
    assert declare(project, text) == ["acme>Second"]


@pytest.mark.parametrize(
    "text",
    [
        'from kfp import dsl\n@dsl.component(base_image="python")',
        "from kfp.dsl import component\n@component",
        'import other\n@other.component("acme>Second", kind="layer")',
    ],
)
def test_decorators_of_other_projects_are_left_alone(project, text):
    assert declare(project, text) == []


def test_a_decorator_without_arguments_is_refused(project):
    with pytest.raises(ScanError, match=r"second\.py:2: .*written out"):
        declare(project, "from dl_techniques.core import component\n@component")


def test_a_component_cannot_live_where_its_package_is_imported(project):
    (project / "src" / "acme" / "__init__.py").write_text(GATE.replace("Gate", "Door"))
    with pytest.raises(ScanError, match=r"__init__\.py:6: Door must be .* a module of its own"):
        scan(package(project))


def test_a_module_that_cannot_be_imported_by_name_holds_no_component(project):
    gates = project / "src" / "acme" / "gates"
    (gates / ".ipynb_checkpoints").mkdir()
    (gates / ".ipynb_checkpoints" / "gate.py").write_text(GATE)
    assert len(scan(package(project))) == 1
    (gates / "my-gate.py").write_text(GATE.replace("Gate", "Door"))
    with pytest.raises(ScanError, match=r"my-gate\.py:6: `object` must read"):
        scan(package(project))


def test_source_may_declare_its_encoding(project):
    text = "# coding: latin-1\n" + GATE.replace("Opens", "\u00d6ffnet")
    (project / "src" / "acme" / "gates" / "gate.py").write_bytes(text.encode("latin-1"))
    (record,) = scan(package(project))
    assert record.summary.startswith("\u00d6ffnet")


def test_a_stub_that_somebody_wrote_is_left_alone(project, monkeypatch):
    monkeypatch.chdir(project)
    other = project / "src" / "acme" / "tools"
    other.mkdir()
    (other / "__init__.py").write_text("def tool(): ...\n")
    (other / "__init__.pyi").write_text("def tool() -> None: ...\n")
    (project / "src" / "acme" / "gates" / "__init__.py").write_text("from .gate import Gate\n")
    assert main(["manifest", "write"]) == 0
    assert (other / "__init__.pyi").read_text() == "def tool() -> None: ...\n"
    assert not (project / "src" / "acme" / "gates" / "__init__.pyi").exists()
    assert (project / "src" / "acme" / "__init__.pyi").exists()


@pytest.mark.parametrize(
    "value", ["acme", "acme:manifest.json", "../acme:components.json", "acme.:components.json"]
)
def test_an_entry_point_that_the_registry_would_refuse_is_refused(project, capsys, value):
    file = project / "pyproject.toml"
    file.write_text(file.read_text().replace("acme:components.json", value))
    assert main(["manifest", "check", str(project)]) == 1
    assert "must read `package:components.json`" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["project = 1", "[project]\nentry-points = []", "[a]"])
def test_a_pyproject_of_any_other_form_names_no_package(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ScanError, match="no entry point"):
        find_packages([tmp_path])


def test_two_packages_must_not_declare_one_identifier(project, capsys):
    second = project / "src" / "second"
    second.mkdir()
    (second / "door.py").write_text(GATE.replace("class Gate", "class Door"))
    file = project / "pyproject.toml"
    file.write_text(file.read_text() + 'second = "second:components.json"\n')
    assert main(["manifest", "write", str(project)]) == 1
    assert "'acme>Gate' is already taken in acme" in capsys.readouterr().err
    assert not (second / "components.json").exists()


def test_projects_are_found_upwards_and_in_workspaces(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project / "src" / "acme" / "gates")
    assert [p.name for p in find_packages()] == ["acme"]
    workspace = tmp_path / "workspace"
    (workspace / "packages").mkdir(parents=True)
    (workspace / "packages" / "acme").symlink_to(project)
    assert [p.name for p in find_packages([workspace])] == ["acme"]
    assert len(find_packages([workspace, workspace])) == 1
    (workspace / "pyproject.toml").write_text(
        '[project.entry-points."dl_techniques.components"]\nall = "all:components.json"\n'
    )
    (workspace / "all").mkdir()
    assert [p.name for p in find_packages([workspace])] == ["all", "acme"]


def test_missing_projects_are_a_users_mistake(tmp_path, capsys):
    assert main(["manifest", "check", str(tmp_path)]) == 1
    assert "No pyproject.toml" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert main(["manifest", "check", str(tmp_path)]) == 1
    assert "no entry point in the group" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").write_text("[project\n")
    assert main(["manifest", "check", str(tmp_path)]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_the_lazy_package_exports_the_names_of_the_stub(project, importable):
    file = project / "src" / "acme" / "gates" / "gate.py"
    file.write_text(
        file.read_text()
        .replace('raise RuntimeError("a scan must not import this")', "")
        .replace("acme>", "acmelazy>")
    )
    for generated in generate(package(project)):
        generated.write()
    import acme
    import acme.gates

    stub = (project / "src" / "acme" / "__init__.pyi").read_text()
    assert set(acme.__all__) == {"Gate", "OldGate"}
    assert all(f'"{name}"' in stub for name in acme.__all__)
    assert acme.OldGate is acme.gates.Gate


def test_a_function_keeps_its_name_although_its_module_has_it_too(project, importable):
    (project / "src" / "acme" / "scale.py").write_text(
        "from dl_techniques.core import component\n\n"
        '@component("acmelazy>scale", kind="function")\ndef scale(x):\n    """Doubles."""\n'
        "    return 2 * x\n"
    )
    (project / "src" / "acme" / "gates" / "gate.py").unlink()
    for generated in generate(package(project)):
        generated.write()
    module = importlib.import_module("acme.scale")
    from acme import scale

    assert scale is module.scale
    assert scale(2) == 4
