"""Every known attack is refused before Keras is even imported, and the refusal says why."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from graph_attacks import SOUND
from model_attacks import ATTACKS, Attack
from model_forge import Forge, seal

from dl_techniques.core.entry import Entry
from dl_techniques.core.errors import DLTechniquesError, ModelFileError, ModelFileProblems
from dl_techniques.core.files import report as report_module
from dl_techniques.core.files.report import inspect_model

EARLY = [a for a in ATTACKS if not a.needs_keras and not a.isolated]


def test_every_attack_has_a_name_of_its_own() -> None:
    print(f"\n{len(ATTACKS)} hostile files over {len({a.row for a in ATTACKS})} rows")
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


def test_every_advisory_has_its_file() -> None:
    advisories = {
        "CVE-2024-3660", "CVE-2024-55459", "CVE-2025-1550", "CVE-2025-8747", "CVE-2025-9906",
        "CVE-2025-9905", "CVE-2025-49655", "CVE-2025-12058", "CVE-2025-12060", "CVE-2026-0897",
        "CVE-2026-1669", "CVE-2026-1462", "CVE-2026-11816", "CVE-2026-12479", "CVE-2026-12480",
        "CVE-2026-12481", "CVE-2026-12482", "CVE-2026-12484", "CVE-2026-9335", "CVE-2026-12570",
    }  # fmt: skip
    rows = " ".join(attack.row for attack in ATTACKS)
    assert sorted(name for name in advisories if name not in rows) == []


@pytest.mark.parametrize("sealed", [False, True])
def test_the_sound_file_is_accepted(tmp_path: Path, sealed: bool) -> None:
    path = Forge().write(tmp_path / "sound.keras")
    report = inspect_model(seal(path) if sealed else path)
    assert report.problems == ()
    assert report.loadable
    assert report.parameters == 15


def test_a_layer_may_be_used_before_and_after_another(tmp_path: Path) -> None:
    assert inspect_model(Forge(SOUND).write(tmp_path / "sound.keras")).problems == ()


@pytest.mark.parametrize("attack", EARLY, ids=lambda attack: attack.name)
def test_attack_is_refused(attack: Attack, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    report = inspect_model(attack.build(tmp_path / "attack.keras", canary))
    assert not report.loadable
    text = "\n".join(str(problem) for problem in report.problems)
    assert re.search(attack.says, text), text
    assert not canary.exists()
    for problem in report.problems:
        assert_complete(problem, tmp_path)


def assert_complete(problem: DLTechniquesError, folder: Path) -> None:
    """A refusal names the file, the member where there is one, and a remedy."""
    assert isinstance(problem, ModelFileError)
    assert str(folder) in str(problem)
    assert problem.hint
    assert problem.hint in str(problem)
    about_the_container = problem.member is None
    assert about_the_container or f"::{problem.member}" in str(problem)
    if problem.member == "config.json" and problem.location:
        assert problem.location.startswith("config")
    assert str(problem).isprintable() or "\n" in str(problem)


def test_all_findings_come_at_once(tmp_path: Path) -> None:
    from model_forge import component, dense, function, sequential

    config = sequential(
        component("evil>One", "One"),
        component("evil>Two", "Two"),
        dense(activation=function("get_file", "keras.utils")),
    )
    report = inspect_model(Forge(config).write(tmp_path / "many.keras"))
    assert len(report.problems) == 3
    error = ModelFileProblems(report.path, report.problems)
    assert all(name in str(error) for name in ("evil>One", "evil>Two", "get_file"))
    assert [problem.location for problem in error.problems] == [
        "config.config.layers[1]",
        "config.config.layers[2]",
        "config.config.layers[3].config.activation",
    ]


def test_a_hostile_file_cannot_make_an_endless_message(tmp_path: Path) -> None:
    from model_forge import component, sequential

    config = sequential(*(component(f"evil>E{i}", f"E{i}") for i in range(3000)))
    report = inspect_model(Forge(config).write(tmp_path / "many.keras"))
    assert len(report.problems) == 50


class One:
    """Known components, of which there is one."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.names = {entry.id: (entry,), entry.name: (entry,)}

    def find(self, id: str) -> Entry:
        return self.entry


def test_the_provider_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from model_forge import component, sequential

    entry = Entry(
        "acme>Shell", "layer", "acme.shell:Shell", "", "acme-layers", "1.2", "x", unsafe=True
    )
    monkeypatch.setattr(report_module, "installed", lambda: One(entry))
    config = sequential(component("acme>Shell", "Shell"))
    report = inspect_model(Forge(config).write(tmp_path / "unsafe.keras"))
    assert "acme-layers 1.2" in str(report.problems[0])
    assert "allow_unsafe=True" in str(report.problems[0])
    assert report.unsafe == ("acme>Shell",)


def test_an_unsafe_component_cannot_hide_behind_its_bare_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_forge import dense, sequential

    entry = Entry("acme>Shell", "layer", "acme.shell:Shell", "", "acme", "1", "x", unsafe=True)
    monkeypatch.setattr(report_module, "installed", lambda: One(entry))
    for value in ("Shell", "acme>Shell", {"class_name": "Shell"}, ["x", "Shell"]):
        report = inspect_model(Forge(sequential(dense(norm=value))).write(tmp_path / "a.keras"))
        assert not report.loadable, value


def test_nothing_of_this_imports_keras() -> None:
    import subprocess

    program = (
        "import sys\nfrom dl_techniques.core import inspect_model\ninspect_model('x.keras')\n"
        "assert 'keras' not in sys.modules, 'keras was imported'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
