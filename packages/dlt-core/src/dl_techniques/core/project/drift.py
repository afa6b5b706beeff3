"""Compare the manifests of editable installations with their source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dl_techniques.core.entry import Problem
from dl_techniques.core.project.scan import Package, ScanError, generate, scan
from dl_techniques.core.registry.discovery import (
    COMPONENTS_GROUP,
    LocationError,
    Provider,
    find_providers,
    normalize,
    package_folders,
)
from dl_techniques.core.registry.manifest import FILENAME, Manifest, ManifestError

_SHOWN = 5


def drift_problems(distribution: str | None = None) -> list[Problem]:
    """Find manifests of editable installations that differ from the source beside them.

    Args:
        distribution: Only this distribution.
    """
    problems = []
    for provider, package in _editable(distribution):
        try:
            drifted = any(file.drifted for file in generate(package))
            message = _message(package) if drifted else None
        except ScanError as error:
            message = str(error)
        if message is not None:
            problems.append(Problem(provider.name, "manifest", message, str(package.folder)))
    return problems


def _editable(distribution: str | None) -> Iterator[tuple[Provider, Package]]:
    """Iterate over the packages whose source lies elsewhere than their metadata."""
    for provider in find_providers()[0]:
        if distribution is not None and normalize(provider.name) != normalize(distribution):
            continue
        installed = Path(provider.location).parent
        for point in provider.entry_points:
            name = point.value.partition(":")[0].strip()
            if point.group != COMPONENTS_GROUP or not name:
                continue
            try:
                folders = [Path(folder) for folder in package_folders(name)]
            except LocationError:  # discovery tells of it
                continue
            if len(folders) == 1 and not folders[0].is_relative_to(installed):
                yield provider, Package(name, folders[0])


def _message(package: Package) -> str:
    declared = {record.id for record in scan(package)}
    try:
        manifest = Manifest.parse((package.folder / FILENAME).read_bytes(), package=package.name)
        listed = {record.id for record in manifest.components}
    except (OSError, ManifestError):
        listed = set()
    parts = [
        f"{', '.join(names[:_SHOWN])} {'is' if len(names) == 1 else 'are'} {verb}"
        for names, verb in (
            (sorted(declared - listed), f"declared in the source and missing in {FILENAME}"),
            (sorted(listed - declared), f"listed in {FILENAME} and missing in the source"),
        )
        if names
    ]
    what = "; ".join(parts) or "the generated files differ from the source"
    return f"{what}. Run: dl-techniques manifest write"
