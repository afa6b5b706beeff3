"""Listing, finding and what the registry says when there is nothing to find."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from dl_techniques.core.entry import Problem
from dl_techniques.core.errors import DLTechniquesError, RegistryProblems, UnknownComponent
from dl_techniques.core.registry.discovery import foreign_core, normalize
from dl_techniques.core.registry.owners import distributions, owner_of
from dl_techniques.core.registry.registry import Registry

ROOT = Path(__file__).parents[3]


def ids(listing: Any) -> list[str]:
    return [entry.id for entry in listing]


def test_filters(site: Any, tools: Any) -> None:
    gate = site.healthy("Gate_Keeper", "Gate", kind="layer", tags=["door"], paper="arXiv:1.2")
    loss = site.healthy("other", "Cost", kind="loss", tags=["door", "price"])
    registry = Registry([site.folder])
    assert ids(registry.list()) == sorted([gate, loss])
    assert ids(registry.list(kind="layer")) == [gate]
    assert sorted(ids(registry.list(tag="door"))) == sorted([gate, loss])
    assert ids(registry.list(tag="price")) == [loss]
    assert ids(registry.list(tag="pri")) == []
    assert ids(registry.list(distribution=site.name("gate.keeper"))) == [gate]
    assert ids(registry.list(distribution=site.name("nobody"))) == []
    assert ids(registry.list(search="ARXIV:1.2")) == [gate]
    assert ids(registry.list(search="door gate")) == [gate]
    assert sorted(ids(registry.list(search=" "))) == sorted([gate, loss])
    assert ids(registry.list(kind="loss", tag="door", search="cost")) == [loss]


@pytest.mark.parametrize("name", ["kind", "tag", "distribution", "search"])
def test_a_filter_of_the_wrong_type(name: str) -> None:
    with pytest.raises(TypeError, match=f"`{name}`.*{name}=7"):
        Registry([]).list(**{name: 7})  # type: ignore[arg-type]  # that is what is tested


def test_an_unknown_kind() -> None:
    for ask in (Registry([]).list, lambda kind: Registry([]).find("x", kind=kind)):
        with pytest.raises(ValueError, match=r"`kind` must be one of layer.*kind='lair'"):
            ask(kind="lair")
    with pytest.raises(TypeError, match="`id`"):
        Registry([]).find(7)  # type: ignore[arg-type]  # that is what is tested


def test_the_nearest_names(site: Any) -> None:
    gate = site.healthy("near", "GatedUnit")
    registry = Registry([site.folder])
    for text in ("gatedunit", "GatedUnits", "near>GatedUnit", gate.replace("Unit", "Untt")):
        with pytest.raises(UnknownComponent, match="Nearest") as refusal:
            registry.find(text)
        assert refusal.value.nearest == (gate,)
        assert gate in str(refusal.value)
    for text in ("", "x" * 10_000, ">", "a>b>c", "\x1b[31m"):
        with pytest.raises(UnknownComponent) as refusal:
            registry.find(text)
        assert refusal.value.id == text
        assert len(str(refusal.value)) < 1_000
        assert "\x1b" not in str(refusal.value)
    with pytest.raises(UnknownComponent, match=f"There is the function '{gate}'"):
        registry.find(gate, kind="loss")


def test_an_unknown_component_names_its_distribution() -> None:
    registry = Registry([])
    for text in ("dl_techniques>TiRex", "TiRex"):
        with pytest.raises(UnknownComponent) as refusal:
            registry.find(text)
        assert "pip install 'dlt-models-seq>=0.1,<1'" in str(refusal.value)
        assert refusal.value.distribution == "dlt-models-seq"
    with pytest.raises(LookupError) as other:
        registry.find("acme>TiRex")
    assert isinstance(other.value, DLTechniquesError)
    assert "pip install" not in str(other.value)


def test_an_older_first_party_distribution_needs_an_upgrade(site: Any, tools: Any) -> None:
    package = f"dl_techniques.part{site.serial}"
    site.package(package)
    name = f"dl_techniques>Part{site.serial}"
    site.manifest(package, [tools.record(name, f"{package}.m:X")])
    site.metadata("dlt-layers", "0.0.1", entry_points=tools.components_group(package))
    registry = Registry([site.folder])
    assert registry.find(name).distribution == "dlt-layers"
    with pytest.raises(UnknownComponent, match=r"not in dlt-layers 0\.0\.1.*--upgrade"):
        registry.find("dl_techniques>RMSNorm")


def test_owners_are_named_once() -> None:
    owners: dict[str, str] = {}
    for distribution, facts in distributions().items():
        assert normalize(distribution) == distribution
        assert all(package.startswith("dl_techniques.") for package in facts.packages)
        for identifier in facts.components:
            assert owners.setdefault(identifier, distribution) == distribution
            assert owner_of(identifier) == owner_of(identifier.partition(">")[2]) == distribution
    assert owner_of("Nothing") is None
    assert owner_of("acme>TiRex") is None


def test_owners_agree_with_the_manifests_of_this_workspace() -> None:
    missing = [
        f"{component['id']} in {distribution}"
        for manifest in ROOT.glob("packages/*/src/**/components.json")
        for distribution in [manifest.relative_to(ROOT / "packages").parts[0]]
        for component in json.loads(manifest.read_text())["components"]
        if owner_of(component["id"]) != distribution
    ]
    assert not missing, "dl-techniques manifest write"


def test_a_later_installation_is_found(site: Any) -> None:
    registry = site.registry()
    with pytest.raises(UnknownComponent):
        registry.find(f"{site.name('late')}>Gate")
    late = site.healthy("late")
    assert registry.find(late).id == late
    assert registry.load(late)("x") == "x"
    shutil.rmtree(next(site.folder.glob("late*.dist-info")))
    assert late not in ids(registry.list())
    with pytest.raises(UnknownComponent):
        registry.find(late)


def test_a_change_within_one_tick_of_the_clock_is_found(site: Any) -> None:
    """Nothing negative is kept, even if no folder seems to have changed."""
    registry = site.registry()
    times = site.folder.stat()
    with pytest.raises(UnknownComponent):
        registry.find(f"{site.name('late')}>Gate")
    late = site.healthy("late")
    os.utime(site.folder, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert registry.find(late).id == late


def test_a_manifest_that_changes_is_read_again(site: Any, tools: Any) -> None:
    old = site.healthy("edited")
    registry = site.registry()
    assert old in ids(registry.list())
    package = old.partition(">")[0]
    file = site.manifest(package, [tools.record(f"{package}>New", f"{package}.gate:Gate")])
    os.utime(file, (1, 1))
    assert old not in ids(registry.list())
    assert f"{package}>New" in ids(registry.list())


def test_a_snapshot_is_kept_while_nothing_changes(site: Any, monkeypatch: Any) -> None:
    from dl_techniques.core.registry import registry as catalog

    healthy = site.healthy()
    registry = site.registry()
    registry.list()
    monkeypatch.setattr(catalog, "discover", lambda path: pytest.fail("looked again"))
    assert healthy in ids(registry.list())
    assert registry.find(healthy).id == healthy


def test_narrowing(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = site.healthy("One_Two"), site.healthy("three")
    first, second = site.name("one.two"), site.name("three")
    registry = Registry([site.folder])
    monkeypatch.setenv("DL_TECHNIQUES_PLUGINS", f" {first.upper()} ,,")
    assert ids(registry.list()) == [one]
    with pytest.raises(UnknownComponent, match="hidden by DL_TECHNIQUES_PLUGINS"):
        registry.find(two)
    monkeypatch.setenv("DL_TECHNIQUES_PLUGINS", f"{first},{second}")
    assert sorted(ids(registry.list())) == sorted([one, two])
    monkeypatch.setenv("DL_TECHNIQUES_DISABLE", second)
    assert ids(registry.list()) == [one]
    monkeypatch.setenv("DL_TECHNIQUES_PLUGINS", "")
    assert ids(registry.list()) == [one]
    monkeypatch.setenv("DL_TECHNIQUES_DISABLE", "")
    assert sorted(ids(registry.list())) == sorted([one, two])


def test_narrowing_settles_a_conflict_and_hides_problems(site: Any, monkeypatch: Any) -> None:
    shared = f"{site.name('shared')}>Gate"
    site.healthy("first", id=shared)
    site.healthy("second", id=shared)
    registry = Registry([site.folder])
    assert registry.problems
    monkeypatch.setenv("DL_TECHNIQUES_DISABLE", site.name("second"))
    assert registry.find(shared).distribution == site.name("first")
    assert registry.problems == ()


def test_strictness(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = site.healthy()
    registry = Registry([site.folder])
    monkeypatch.setenv("DL_TECHNIQUES_STRICT", "1")
    assert ids(registry.list()) == [healthy]
    site.metadata(site.name("bad"), entry_points="[dl_techniques.components]\nnonsense\n")
    for ask in (registry.list, lambda: registry.find(healthy), lambda: registry.load(healthy)):
        with pytest.raises(RegistryProblems, match="`name = value`") as refusal:
            ask()
        assert refusal.value.problems == registry.problems
    for off in ("0", ""):
        monkeypatch.setenv("DL_TECHNIQUES_STRICT", off)
        assert ids(registry.list()) == [healthy]


def test_a_problem_reads_as_a_sentence() -> None:
    problem = Problem("acme", "import", "it fails", "acme.gate:Gate")
    assert str(problem) == "acme: import: it fails [acme.gate:Gate]"


def test_another_projects_core_is_recognised(site: Any, tmp_path: Path, tools: Any) -> None:
    def core(folder: str, version: str, **files: str) -> list[str]:
        made = type(site)(tmp_path / folder).metadata("dlt-core", version)
        for name, content in files.items():
            tools.write(made / name.replace("_txt", ".txt"), content)
        return [str(tmp_path / folder)]

    theirs = core("calendar", "202606.30.0")
    [problem] = foreign_core(theirs)
    assert "202606.30.0" in problem.message
    assert "pip install 'dlt-core>=0.1,<1'" in problem.message
    assert foreign_core(core("owner", "1.2", RECORD="a,,\ndlt/__init__.py,,\n"))
    assert foreign_core(core("top", "1.2", top_level_txt="dlt\n"))
    assert not foreign_core(core("ours", "0.1.0", RECORD="dl_techniques/core/errors.py,,\n"))
    assert not foreign_core([str(site.folder)])
    site.metadata("other-core", "2026.1.0")
    unreadable = core("odd", "1.2")
    Path(unreadable[0], "dlt_core-1.2.dist-info", "RECORD").mkdir()
    assert not foreign_core([*unreadable, str(site.folder)])


def test_no_exported_name_is_hidden_by_a_module() -> None:
    """Importing a submodule binds its name in the package, over a lazy export of that name."""
    from dl_techniques import core

    modules = {file.stem for file in Path(str(core.__file__)).parent.glob("*.py")}
    assert not modules & set(core.__all__)


def test_many_problems_are_counted_and_the_first_are_shown(site: Any) -> None:
    for number in range(30):
        name = site.name(f"bad{number}")
        site.metadata(name, entry_points="[dl_techniques.components]\nnonsense\n")
    with pytest.raises(UnknownComponent, match=r"30 problem\(s\)") as refusal:
        Registry([site.folder]).find("Nothing")
    assert len(refusal.value.problems) == 30
    assert str(refusal.value).count("has a line ") == 10
    assert "doctor" in str(refusal.value)
