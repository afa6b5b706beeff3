"""The manifest generator: what it reads, what it refuses, what it writes."""

from __future__ import annotations

import json
import sys

import pytest

from dl_techniques.core.cli import main
from dl_techniques.core.scan import Package, ScanError, find_packages, generate, scan

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
        (folder / "__init__.py").write_text("")
    (package / "gates" / "gate.py").write_text(GATE)
    return tmp_path


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
        ("class Gate", "class 1Gate", r"gate\.py:7"),
    ],
)
def test_what_cannot_be_read_names_file_and_line(project, old, new, message):
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


def test_projects_are_found_upwards_and_in_workspaces(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project / "src" / "acme" / "gates")
    assert [p.name for p in find_packages()] == ["acme"]
    workspace = tmp_path / "workspace"
    (workspace / "packages").mkdir(parents=True)
    (workspace / "packages" / "acme").symlink_to(project)
    assert [p.name for p in find_packages([workspace])] == ["acme"]


def test_missing_projects_are_a_users_mistake(tmp_path, capsys):
    assert main(["manifest", "check", str(tmp_path)]) == 1
    assert "No pyproject.toml" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert main(["manifest", "check", str(tmp_path)]) == 1
    assert "no entry point in the group" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").write_text("[project\n")
    assert main(["manifest", "check", str(tmp_path)]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_the_lazy_package_exports_what_the_stub_says(project, monkeypatch):
    file = project / "src" / "acme" / "gates" / "gate.py"
    file.write_text(
        file.read_text()
        .replace('raise RuntimeError("a scan must not import this")', "")
        .replace("acme>", "acmelazy>")
    )
    lazy = (
        "from dl_techniques.core.lazy import exports\n"
        "__getattr__, __dir__, __all__ = exports(__name__)\n"
    )
    for name in ("__init__.py", "gates/__init__.py"):
        (project / "src" / "acme" / name).write_text(lazy)
    for generated in generate(package(project)):
        generated.write()
    monkeypatch.syspath_prepend(str(project / "src"))
    import acme
    import acme.gates

    stub = (project / "src" / "acme" / "__init__.pyi").read_text()
    assert set(acme.__all__) == {"Gate", "OldGate"}
    assert all(f'"{name}"' in stub for name in acme.__all__)
    assert acme.OldGate is acme.gates.Gate
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        monkeypatch.delitem(sys.modules, name)
