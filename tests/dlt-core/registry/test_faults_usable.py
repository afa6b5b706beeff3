"""Faults that leave components usable, and distributions that are there twice."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dl_techniques.core.errors import ContractMismatch


def metadata_not_utf8(b: Any) -> None:
    b.install(text=f"Name: {b.package}\nVersion: 1.0\nSummary: \xff\n".encode("latin-1"))


def metadata_missing(b: Any) -> None:
    b.install(text=None)


def metadata_huge(b: Any) -> None:
    b.inflate(b.install() / "METADATA")


def metadata_of_another(b: Any) -> None:
    b.install(text="Name: dlt-layers\nVersion: 9.9\n\n")


def healthy_sibling_components(b: Any) -> None:
    b.site.manifest(b.package, [17, b.record, {"id": f"{b.package}>Bad"}])
    b.install()


# A word of the problem. Name and version come from the folder's name, so that a broken METADATA is
# neither a problem nor a way to take another distribution's place.
USABLE_FAULTS: dict[Callable[[Any], None], str | None] = {
    metadata_not_utf8: None,
    metadata_missing: None,
    metadata_huge: None,
    metadata_of_another: None,
    healthy_sibling_components: "components[0]",
}


@pytest.mark.parametrize("fault", USABLE_FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_that_leaves_the_component_usable(
    site: Any, tools: Any, fault: Callable[[Any], None]
) -> None:
    broken = tools.Broken(site)
    fault(broken)
    registry = site.registry()
    entry = registry.find(broken.id)
    assert (entry.distribution, entry.version) == (broken.package, "1.0")
    assert registry.load(broken.id)("x") == "x"
    messages = [p.message for p in registry.problems if p.distribution == broken.package]
    word = USABLE_FAULTS[fault]
    assert bool(messages) == any(str(word) in message for message in messages) == bool(word)


@pytest.mark.parametrize("number", ["schema", "contract"])
def test_components_for_a_later_core_are_listed_but_not_resolved(
    site: Any, tools: Any, number: str
) -> None:
    broken = tools.Broken(site)
    site.manifest(broken.package, [{**broken.record}], **{number: 2})
    broken.install()
    registry = site.registry()
    assert broken.id in {entry.id for entry in registry.list()}
    assert any(f"{number} 2" in p.message for p in registry.problems)
    for ask in (registry.find, registry.load, registry.create):
        with pytest.raises(ContractMismatch, match=broken.package) as refusal:
            ask(broken.id)
        assert refusal.value.distribution == broken.package
        assert "dlt-core" in str(refusal.value)


def test_further_keys_of_a_later_schema_are_no_fault(site: Any, tools: Any) -> None:
    broken = tools.Broken(site)
    site.manifest(broken.package, [{**broken.record, "colour": "red"}], schema=2, more=[])
    broken.install()
    assert broken.id in {entry.id for entry in site.registry().list()}


def test_two_entry_points_of_one_name(site: Any) -> None:
    first, second = site.healthy("first"), site.healthy("second")  # both are named `parts`
    registry = site.registry()
    assert {first, second} <= {entry.id for entry in registry.list()}
    assert registry.load(first)("x") == registry.load(second)("x") == "x"


def test_a_manifest_that_is_named_twice_is_read_once(site: Any, tools: Any) -> None:
    broken = tools.Broken(site)
    group = tools.components_group(broken.package)
    broken.install(entry_points=group + f"again = {broken.package}:components.json\n")
    assert site.registry().find(broken.id).conflict == ()


@pytest.mark.parametrize("second", ["1.0", "2.0"])
def test_a_distribution_that_is_installed_twice(
    site: Any, tools: Any, tmp_path: Path, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tools.Broken(site)
    broken.install()
    other = type(site)(tmp_path / "other")
    other.package(broken.package, {"part": tools.function(broken.id, "Part")})
    other.manifest(broken.package, [{**broken.record, "summary": "The second copy."}])
    other.metadata(broken.package, second, entry_points=tools.components_group(broken.package))
    monkeypatch.setattr(sys, "path", [*sys.path, str(other.folder)])
    registry = site.registry()
    assert registry.find(broken.id).version == "1.0"  # the copy that an import takes
    assert registry.find(broken.id).summary == "A test's part."
    [problem] = [p for p in registry.problems if p.distribution == broken.package]
    assert "installed twice" in problem.message
    assert f"version {second} in {other.folder}" in problem.message


def test_a_harmless_second_metadata_folder_is_no_problem(
    site: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tools.Broken(site)
    group = tools.components_group(broken.package)
    broken.install()
    site.metadata(broken.package, "1.0", entry_points=group, suffix=".egg-info")
    link = tmp_path / "link"
    link.symlink_to(site.folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(site.folder), str(link)])
    registry = site.registry()
    assert registry.find(broken.id).version == "1.0"
    assert not [p for p in registry.problems if p.distribution == broken.package]


def test_two_versions_in_one_folder(site: Any, tools: Any) -> None:
    """The state after an interrupted upgrade."""
    broken = tools.Broken(site)
    broken.install()
    group = tools.components_group(broken.package)
    site.metadata(broken.package, "2.0", entry_points=group, suffix=".egg-info")
    [problem] = [p for p in site.registry().problems if p.distribution == broken.package]
    assert "installed twice" in problem.message


def test_a_distribution_that_hides_the_components_of_another_copy(
    site: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy that an import takes has no components; the other one has, and is named."""
    broken = tools.Broken(site)
    broken.install()
    first = type(site)(tmp_path / "first")
    first.metadata(broken.package, "0.5")
    monkeypatch.setattr(sys, "path", [str(first.folder), *sys.path])
    registry = site.registry()
    assert broken.id not in {entry.id for entry in registry.list()}
    [problem] = [p for p in registry.problems if p.distribution == broken.package]
    assert "a copy without components" in problem.message


def test_metadata_inside_an_archive(site: Any, tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel on the path: its metadata are read, and its components refused with a reason."""
    name = site.name("zipped")
    archive = site.folder / f"{name}-1.0.whl"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"{name}/__init__.py", "raise SystemExit")
        file.writestr(f"{name}/components.json", "{}")
        folder = f"{name}-1.0.dist-info"
        file.writestr(f"{folder}/METADATA", f"Name: {name}\nVersion: 1.0\n\n")
        file.writestr(f"{folder}/entry_points.txt", tools.components_group(name))
    monkeypatch.setattr(sys, "path", [*sys.path, str(archive)])
    [problem] = [p for p in site.registry().problems if p.distribution == name]
    assert "archive" in problem.message


def test_a_manifest_in_several_folders_of_a_namespace(
    site: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tools.Broken(site)
    (broken.folder / "__init__.py").unlink()
    broken.install()
    other = type(site)(tmp_path / "other")
    other.package(broken.package)
    other.manifest(broken.package, [])
    (other.folder / broken.package / "__init__.py").unlink()
    monkeypatch.setattr(sys, "path", [*sys.path, str(other.folder)])
    [problem] = [p for p in site.registry().problems if p.distribution == broken.package]
    assert "several folders" in problem.message


def test_a_finder_with_distributions_of_its_own(
    site: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distributions need not be folders; those that cannot even be named are problems."""
    from importlib.metadata import Distribution

    broken = tools.Broken(site)

    class Held(Distribution):
        def __init__(self, files: dict[str, str]) -> None:
            self.files_ = files

        def read_text(self, filename: str) -> str | None:
            return self.files_.get(filename)

        def locate_file(self, path: Any) -> Path:
            return Path(path)

    class Nameless(Held):
        @property
        def metadata(self) -> Any:
            raise RuntimeError("no metadata")

    named = Held(
        {
            "METADATA": f"Name: {broken.package}\nVersion: 3.0\n\n",
            "entry_points.txt": tools.components_group(broken.package),
        }
    )

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> None:
            return None

        @staticmethod
        def find_distributions(context: Any = None) -> list[Distribution]:
            return [Nameless({}), named]

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    registry = site.registry()
    assert registry.find(broken.id).version == "3.0"
    assert any("no metadata" in p.message for p in registry.problems)
