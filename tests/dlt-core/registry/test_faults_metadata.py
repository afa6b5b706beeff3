"""Broken metadata and manifests: each is named, and nothing else is affected."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from dl_techniques.core.errors import UnknownComponent


def malformed_line(b: Any) -> None:
    b.install(entry_points=b.group(b.package) + "this is no entry point\n")


def unclosed_section(b: Any) -> None:
    b.install(entry_points=b.group(b.package).replace("]", ""))


def entry_points_not_utf8(b: Any) -> None:
    b.install(entry_points=b.group(b.package).encode() + b"# \xff\xfe\n")


def entry_points_huge(b: Any) -> None:
    b.inflate(b.install() / "entry_points.txt")


def entry_points_pipe(b: Any) -> None:
    file = b.install() / "entry_points.txt"
    file.unlink()
    os.mkfifo(file)


def value_with_spaces(b: Any) -> None:
    b.install(entry_points=f"[dl_techniques.components]\na = {b.package} has : spaces in it\n")


def value_of_another_file(b: Any) -> None:
    b.install(entry_points=f"[dl_techniques.components]\na = {b.package}:../../etc/passwd\n")


def manifest_missing(b: Any) -> None:
    b.manifest.unlink()
    b.install()


def manifest_not_json(b: Any) -> None:
    b.write("schema: 1")
    b.install()


def manifest_truncated(b: Any) -> None:
    b.write(b.manifest.read_bytes()[:-10])
    b.install()


def manifest_not_utf8(b: Any) -> None:
    b.write(b'{"schema": "\xff"}')
    b.install()


def manifest_huge(b: Any) -> None:
    b.inflate(b.manifest)
    b.install()


def manifest_deep(b: Any) -> None:
    b.write("[" * 100_000)
    b.install()


def manifest_with_repeated_keys(b: Any) -> None:
    text = b.manifest.read_text()
    b.write(text.replace('"schema": 1', '"schema": 1, "schema": 1'))
    b.install()


def manifest_is_a_list(b: Any) -> None:
    b.write("[]")
    b.install()


def manifest_pipe(b: Any) -> None:
    b.manifest.unlink()
    os.mkfifo(b.manifest)
    b.install()


def manifest_link_loop(b: Any) -> None:
    b.manifest.unlink()
    b.manifest.symlink_to(b.manifest)
    b.install()


def manifest_is_a_folder(b: Any) -> None:
    b.manifest.unlink()
    b.manifest.mkdir()
    b.install()


def manifest_of_another_package(b: Any) -> None:
    b.site.manifest(b.package, [b.record], package="another")
    b.install()


def manifest_without_contract(b: Any) -> None:
    b.site.manifest(b.package, [b.record], contract=None)
    b.install()


def too_many_components(b: Any) -> None:
    b.write(b.manifest.read_text().replace('"components": [', '"components": [' + "0," * 10_000))
    b.install()


def unknown_key(b: Any) -> None:
    b.site.manifest(b.package, [b.record], colour="red")
    b.install()


def foreign_id(b: Any) -> None:
    b.declare(id="healthy>Gate")
    b.install()


def foreign_alias(b: Any) -> None:
    b.declare(aliases=["healthy>Gate"])
    b.install()


def foreign_object(b: Any) -> None:
    b.declare(object="os:system")
    b.install()


def object_of_a_namesake(b: Any) -> None:
    b.declare(object=f"{b.package}_evil.part:Part")
    b.install()


def reserved_namespace(b: Any) -> None:
    b.site.manifest(b.package, [{**b.record, "id": "keras>Dense"}], namespace="keras")
    b.install()


def family_namespace(b: Any) -> None:
    b.site.manifest(
        b.package, [{**b.record, "id": "dl_techniques>RMSNorm"}], namespace="dl_techniques"
    )
    b.install()


def family_namespace_below_its_packages(b: Any) -> None:
    package = f"dl_techniques.{b.package}"
    b.site.package(package)
    record = {**b.record, "id": "dl_techniques>RMSNorm", "object": f"{package}.part:Part"}
    b.site.manifest(package, [record], namespace="dl_techniques")
    b.install(entry_points=b.group(package))


def unknown_kind(b: Any) -> None:
    b.declare(kind="spell")
    b.install()


def control_characters(b: Any) -> None:
    b.declare(summary="\x1b[31mred\x1b[0m")
    b.install()


def wrong_type(b: Any) -> None:
    b.declare(tags="attention")
    b.install()


def alias_of_itself(b: Any) -> None:
    b.declare(aliases=[b.id])
    b.install()


def component_key_missing(b: Any) -> None:
    del b.record["object"]
    b.declare()
    b.install()


def package_is_a_module(b: Any) -> None:
    b.manifest.unlink()
    for file in (b.folder / "__init__.py", b.folder / "part.py"):
        file.unlink()
    b.folder.rmdir()
    (b.site.folder / f"{b.package}.py").write_text("raise SystemExit")
    b.install()


def package_removed(b: Any) -> None:
    b.install(entry_points=b.group(f"{b.package}.gone.away"))


def named_like_the_standard_library(b: Any) -> None:
    b.install(entry_points="[dl_techniques.components]\njson = json:components.json\n")


def package_in_an_archive(b: Any) -> None:
    archive = b.site.folder / f"{b.package}.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (b.folder / "__init__.py", b.manifest):
            file.write(path, f"zipped_{b.package}/{path.name}")
    sys.path.append(str(archive))
    b.install(entry_points=b.group(f"zipped_{b.package}"))


# The fault, a word of its cause, and the file that the problem names.
FAULTS: dict[Callable[[Any], None], tuple[str, str]] = {
    malformed_line: ("`name = value`", ".dist-info"),
    unclosed_section: ("no readable entry point", ".dist-info"),
    entry_points_not_utf8: ("UnicodeDecodeError", ".dist-info"),
    entry_points_huge: ("bytes", ".dist-info"),
    entry_points_pipe: ("not a regular file", ".dist-info"),
    value_with_spaces: ("package:components.json", ".dist-info"),
    value_of_another_file: ("package:components.json", ".dist-info"),
    manifest_missing: ("missing", ".dist-info"),
    manifest_not_json: ("not valid JSON", ".dist-info"),
    manifest_truncated: ("not valid JSON", ".dist-info"),
    manifest_not_utf8: ("not UTF-8", ".dist-info"),
    manifest_huge: ("bytes", ".dist-info"),
    manifest_deep: ("nested too deeply", ".dist-info"),
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
    family_namespace: ("belongs to", ".dist-info"),
    family_namespace_below_its_packages: ("belongs to", ".dist-info"),
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
    site: Any, tools: Any, fault: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    healthy = site.healthy()
    broken = tools.Broken(site)
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
