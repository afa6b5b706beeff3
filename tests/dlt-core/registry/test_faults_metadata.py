"""Broken metadata and manifests: each is named, and nothing else is affected."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dl_techniques.core.errors import ContractMismatch, UnknownComponent

BIG = 64 * 1024 * 1024


def sparse(file: Path, size: int = BIG) -> None:
    file.unlink(missing_ok=True)
    with file.open("wb") as stream:
        stream.truncate(size)


class Broken:
    """A distribution named `broken<serial>` in the making, with one good component to start."""

    def __init__(self, site: Any, tools: Any) -> None:
        self.site, self.tools = site, tools
        self.package = site.name("broken")
        self.id = f"{self.package}>Part"
        self.record = tools.record(self.id, f"{self.package}.part:Part")
        self.folder = site.package(self.package, {"part": tools.function(self.id, "Part")})
        self.manifest = site.manifest(self.package, [self.record])

    def install(self, **more: Any) -> Path:
        more.setdefault("entry_points", self.tools.components_group(self.package))
        return Path(self.site.metadata(self.package, **more))

    def declare(self, **changes: Any) -> None:
        """Change the one record."""
        self.site.manifest(self.package, [{**self.record, **changes}])

    def write(self, content: str | bytes) -> None:
        self.tools.write(self.manifest, content)


def malformed_line(b: Broken) -> None:
    b.install(entry_points="[dl_techniques.components]\nthis is no entry point\n")


def unclosed_section(b: Broken) -> None:
    b.install(entry_points=b.tools.components_group(b.package).replace("]", ""))


def entry_points_not_utf8(b: Broken) -> None:
    b.install(entry_points=b.tools.components_group(b.package).encode() + b"# \xff\xfe\n")


def entry_points_huge(b: Broken) -> None:
    sparse(b.install() / "entry_points.txt")


def entry_points_pipe(b: Broken) -> None:
    file = b.install() / "entry_points.txt"
    file.unlink()
    os.mkfifo(file)


def value_with_spaces(b: Broken) -> None:
    b.install(entry_points=f"[dl_techniques.components]\na = {b.package} has : spaces in it\n")


def value_of_another_file(b: Broken) -> None:
    b.install(entry_points=f"[dl_techniques.components]\na = {b.package}:../../etc/passwd\n")


def manifest_missing(b: Broken) -> None:
    b.manifest.unlink()
    b.install()


def manifest_not_json(b: Broken) -> None:
    b.write("schema: 1")
    b.install()


def manifest_truncated(b: Broken) -> None:
    b.write(b.manifest.read_bytes()[:-10])
    b.install()


def manifest_not_utf8(b: Broken) -> None:
    b.write(b'{"schema": "\xff"}')
    b.install()


def manifest_huge(b: Broken) -> None:
    sparse(b.manifest)
    b.install()


def manifest_deep(b: Broken) -> None:
    b.write("[" * 100_000)
    b.install()


def manifest_with_repeated_keys(b: Broken) -> None:
    text = b.manifest.read_text()
    b.write(text.replace('"schema": 1', '"schema": 1, "schema": 1'))
    b.install()


def manifest_is_a_list(b: Broken) -> None:
    b.write("[]")
    b.install()


def manifest_pipe(b: Broken) -> None:
    b.manifest.unlink()
    os.mkfifo(b.manifest)
    b.install()


def manifest_link_loop(b: Broken) -> None:
    b.manifest.unlink()
    b.manifest.symlink_to(b.manifest)
    b.install()


def manifest_is_a_folder(b: Broken) -> None:
    b.manifest.unlink()
    b.manifest.mkdir()
    b.install()


def manifest_of_another_package(b: Broken) -> None:
    b.site.manifest(b.package, [b.record], package="another")
    b.install()


def manifest_without_contract(b: Broken) -> None:
    b.site.manifest(b.package, [b.record], contract=None)
    b.install()


def too_many_components(b: Broken) -> None:
    b.write(b.manifest.read_text().replace('"components": [', '"components": [' + "0," * 10_000))
    b.install()


def unknown_key(b: Broken) -> None:
    b.site.manifest(b.package, [b.record], colour="red")
    b.install()


def foreign_id(b: Broken) -> None:
    b.declare(id="healthy>Gate")
    b.install()


def foreign_alias(b: Broken) -> None:
    b.declare(aliases=["healthy>Gate"])
    b.install()


def foreign_object(b: Broken) -> None:
    b.declare(object="os:system")
    b.install()


def object_of_a_namesake(b: Broken) -> None:
    b.declare(object=f"{b.package}_evil.part:Part")
    b.install()


def reserved_namespace(b: Broken) -> None:
    b.site.manifest(b.package, [{**b.record, "id": "keras>Dense"}], namespace="keras")
    b.install()


def family_namespace(b: Broken) -> None:
    b.site.manifest(
        b.package, [{**b.record, "id": "dl_techniques>RMSNorm"}], namespace="dl_techniques"
    )
    b.install()


def unknown_kind(b: Broken) -> None:
    b.declare(kind="spell")
    b.install()


def control_characters(b: Broken) -> None:
    b.declare(summary="\x1b[31mred\x1b[0m")
    b.install()


def wrong_type(b: Broken) -> None:
    b.declare(tags="attention")
    b.install()


def alias_of_itself(b: Broken) -> None:
    b.declare(aliases=[b.id])
    b.install()


def component_key_missing(b: Broken) -> None:
    del b.record["object"]
    b.declare()
    b.install()


def package_is_a_module(b: Broken) -> None:
    b.manifest.unlink()
    for file in (b.folder / "__init__.py", b.folder / "part.py"):
        file.unlink()
    b.folder.rmdir()
    b.tools.write(b.site.folder / f"{b.package}.py", "raise SystemExit")
    b.install()


def package_removed(b: Broken) -> None:
    b.install(entry_points=b.tools.components_group(f"{b.package}.gone.away"))


def named_like_the_standard_library(b: Broken) -> None:
    b.install(entry_points="[dl_techniques.components]\njson = json:components.json\n")


def package_in_an_archive(b: Broken) -> None:
    archive = b.site.folder / f"{b.package}.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (b.folder / "__init__.py", b.manifest):
            file.write(path, f"zipped_{b.package}/{path.name}")
    sys.path.append(str(archive))
    b.install(entry_points=b.tools.components_group(f"zipped_{b.package}"))


# The fault, a word of its cause, and the file that the problem names.
FAULTS: dict[Callable[[Broken], None], tuple[str, str]] = {
    malformed_line: ("line 2", ".dist-info"),
    unclosed_section: ("section header", ".dist-info"),
    entry_points_not_utf8: ("not UTF-8", ".dist-info"),
    entry_points_huge: ("bytes", ".dist-info"),
    entry_points_pipe: ("not a regular file", ".dist-info"),
    value_with_spaces: ("package:components.json", ".dist-info"),
    value_of_another_file: ("package:components.json", ".dist-info"),
    manifest_missing: ("missing", ".dist-info"),
    manifest_not_json: ("not JSON", ".dist-info"),
    manifest_truncated: ("not JSON", ".dist-info"),
    manifest_not_utf8: ("not UTF-8", ".dist-info"),
    manifest_huge: ("bytes", ".dist-info"),
    manifest_deep: ("deep", ".dist-info"),
    manifest_with_repeated_keys: ("twice", ".dist-info"),
    manifest_is_a_list: ("object", ".dist-info"),
    manifest_pipe: ("not a regular file", ".dist-info"),
    manifest_link_loop: ("symbolic links", ".dist-info"),
    manifest_is_a_folder: ("not a regular file", ".dist-info"),
    manifest_of_another_package: ("`package`", ".dist-info"),
    manifest_without_contract: ("`contract`", ".dist-info"),
    too_many_components: ("10000", ".dist-info"),
    unknown_key: ("colour", ".dist-info"),
    foreign_id: ("own namespace", "components.json"),
    foreign_alias: ("own namespace", "components.json"),
    foreign_object: ("os:system", "components.json"),
    object_of_a_namesake: ("inside", "components.json"),
    reserved_namespace: ("keras", ".dist-info"),
    family_namespace: ("dl_techniques", ".dist-info"),
    unknown_kind: ("spell", "components.json"),
    control_characters: ("control characters", "components.json"),
    wrong_type: ("`tags`", "components.json"),
    alias_of_itself: ("distinct", "components.json"),
    component_key_missing: ("`object` is missing", "components.json"),
    package_is_a_module: ("not a package", ".dist-info"),
    package_removed: ("cannot be found", ".dist-info"),
    named_like_the_standard_library: ("missing", ".dist-info"),
    package_in_an_archive: ("archive", ".dist-info"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_named_and_affects_nothing_else(
    site: Any, tools: Any, fault: Callable[[Broken], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    healthy = site.healthy()
    broken = Broken(site, tools)
    fault(broken)
    registry = site.registry()
    cause, file = FAULTS[fault]

    assert healthy in {entry.id for entry in registry.list()}
    assert not any(entry.distribution == broken.package for entry in registry.list())
    named = [p for p in registry.problems if p.distribution == broken.package]
    assert named, registry.problems
    assert any(cause in p.message and file in str(p.location) for p in named), named
    assert not any(broken.package in name for name in sys.modules), "discovery imported something"

    with pytest.raises(UnknownComponent, match=broken.package) as refusal:
        registry.find(broken.id)
    assert set(named) <= set(refusal.value.problems)
    assert cause in str(refusal.value)
    assert registry.load(healthy)("x") == "x"


def metadata_not_utf8(b: Broken) -> None:
    b.install(text=f"Name: {b.package}\nVersion: 1.0\nSummary: \xff\n".encode("latin-1"))


def metadata_missing(b: Broken) -> None:
    b.install(text=None)


def metadata_huge(b: Broken) -> None:
    sparse(b.install() / "METADATA")


def metadata_of_another(b: Broken) -> None:
    b.install(text="Name: dlt-layers\nVersion: 9.9\n\n")


def healthy_beside_malformed_lines(b: Broken) -> None:
    b.install(
        entry_points=f"[dl_techniques.components]\nnonsense\na = {b.package}:components.json\n"
    )


def healthy_sibling_components(b: Broken) -> None:
    b.site.manifest(b.package, [17, b.record, {"id": f"{b.package}>Bad"}])
    b.install()


USABLE_FAULTS: dict[Callable[[Broken], None], str] = {
    metadata_not_utf8: "METADATA is not UTF-8",
    metadata_missing: "METADATA is missing",
    metadata_huge: "METADATA",
    metadata_of_another: "'dlt-layers'",
    healthy_beside_malformed_lines: "line 2",
    healthy_sibling_components: "components[0]",
}


@pytest.mark.parametrize("fault", USABLE_FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_that_leaves_the_component_usable(
    site: Any, tools: Any, fault: Callable[[Broken], None]
) -> None:
    broken = Broken(site, tools)
    fault(broken)
    registry = site.registry()
    entry = registry.find(broken.id)
    assert (entry.distribution, entry.version) == (broken.package, "1.0")
    assert registry.load(broken.id)("x") == "x"
    messages = [p.message for p in registry.problems if p.distribution == broken.package]
    assert any(USABLE_FAULTS[fault] in message for message in messages), messages


@pytest.mark.parametrize("number", ["schema", "contract"])
def test_what_a_later_core_wrote_is_listed_but_not_resolved(
    site: Any, tools: Any, number: str
) -> None:
    broken = Broken(site, tools)
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
    broken = Broken(site, tools)
    site.manifest(broken.package, [{**broken.record, "colour": "red"}], schema=2, more=[])
    broken.install()
    assert broken.id in {entry.id for entry in site.registry().list()}


def test_two_entry_points_of_one_name(site: Any) -> None:
    first, second = site.healthy("first"), site.healthy("second")  # both are named `parts`
    registry = site.registry()
    assert {first, second} <= {entry.id for entry in registry.list()}
    assert registry.load(first)("x") == registry.load(second)("x") == "x"


def test_a_manifest_that_is_named_twice_is_read_once(site: Any, tools: Any) -> None:
    broken = Broken(site, tools)
    group = tools.components_group(broken.package)
    broken.install(entry_points=group + f"again = {broken.package}:components.json\n")
    assert site.registry().find(broken.id).conflict == ()


@pytest.mark.parametrize("second", ["1.0", "2.0"])
def test_a_distribution_that_is_installed_twice(
    site: Any, tools: Any, tmp_path: Path, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(site, tools)
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


def test_what_is_installed_twice_harmlessly_is_no_problem(
    site: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(site, tools)
    group = tools.components_group(broken.package)
    broken.install()
    site.metadata(broken.package, "1.0", entry_points=group, suffix=".egg-info")
    link = tmp_path / "link"
    link.symlink_to(site.folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(site.folder), str(link)])
    registry = site.registry()
    assert registry.find(broken.id).version == "1.0"
    assert not [p for p in registry.problems if p.distribution == broken.package]


def test_a_distribution_that_hides_the_components_of_another_copy(
    site: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy that an import takes has no components; the other one has, and is named."""
    broken = Broken(site, tools)
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
    broken = Broken(site, tools)
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

    broken = Broken(site, tools)

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

        def read_text(self, filename: str) -> str | None:
            raise RuntimeError("no text")

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
    assert any("no text" in p.message for p in registry.problems)
