"""The file of a workspace's owners is written, and checked for drift."""

from __future__ import annotations

import json

import pytest

from dl_techniques.core.cli import main

GATE = '''
from dl_techniques.core import component

@component("{name}>{title}", kind="function", aliases=("{name}>Old{title}",))
def {title}(x):
    """Opens."""
'''


@pytest.fixture
def workspace(tmp_path):
    """A workspace of two distributions with one component each, and one that is planned."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dl_techniques]\nowners = "owners.json"\n'
        '[tool.dl_techniques.planned.later]\npackages = ["later"]\ncomponents = ["Roof"]\n'
        '[tool.dl_techniques.planned.doors]\npackages = ["doors"]\ncomponents = ["Planned"]\n'
    )
    for name, title in (("gates", "Gate"), ("doors", "Door")):
        project = tmp_path / "packages" / name
        package = project / "src" / name
        package.mkdir(parents=True)
        (project / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\nimport-names = ["{name}"]\n'
            '[project.entry-points."dl_techniques.components"]\n'
            f'{name} = "{name}:components.json"\n'
        )
        (package / "__init__.py").write_text("")
        (package / "module.py").write_text(GATE.format(name=name, title=title))
    return tmp_path


def owners(workspace):
    return json.loads((workspace / "owners.json").read_text())


def test_owners_are_read_from_manifests_and_plans(workspace):
    assert main(["manifest", "write", str(workspace)]) == 0
    assert owners(workspace) == {
        "doors": {"packages": ["doors"], "components": ["doors>Door", "doors>OldDoor"]},
        "gates": {"packages": ["gates"], "components": ["gates>Gate", "gates>OldGate"]},
        "later": {"packages": ["later"], "components": ["dl_techniques>Roof"]},
    }
    assert main(["manifest", "check", str(workspace)]) == 0


def test_one_member_alone_brings_the_owners_up_to_date(workspace):
    assert main(["manifest", "write", str(workspace)]) == 0
    gate = workspace / "packages" / "gates" / "src" / "gates" / "module.py"
    gate.write_text(gate.read_text().replace("OldGate", "FormerGate"))
    member = str(workspace / "packages" / "gates")
    assert main(["manifest", "write", member]) == 0
    assert owners(workspace)["gates"]["components"] == ["gates>FormerGate", "gates>Gate"]
    assert owners(workspace)["doors"]["components"] == ["doors>Door", "doors>OldDoor"]


def test_drift_of_the_owners_fails_the_check(workspace, capsys):
    assert main(["manifest", "write", str(workspace)]) == 0
    (workspace / "owners.json").write_text("{}\n")
    assert main(["manifest", "check", str(workspace)]) == 1
    assert str(workspace / "owners.json") in capsys.readouterr().err


def test_a_manifest_with_marks_of_a_merge_is_written_anew(workspace, capsys):
    assert main(["manifest", "write", str(workspace)]) == 0
    manifest = workspace / "packages" / "doors" / "src" / "doors" / "components.json"
    manifest.write_text("<<<<<<< HEAD\n")
    (workspace / "owners.json").write_text("<<<<<<< HEAD\n")
    # Another member cannot know what is in it, and says which command can.
    assert main(["manifest", "write", str(workspace / "packages" / "gates")]) == 1
    assert str(manifest) in capsys.readouterr().err
    assert main(["manifest", "write", str(workspace)]) == 0
    assert owners(workspace)["doors"]["components"] == ["doors>Door", "doors>OldDoor"]
