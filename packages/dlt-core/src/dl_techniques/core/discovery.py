"""Finding the components of all installed distributions without importing any of them.

Each distribution, each entry point and each component is read under a guard of its own; what
fails becomes a `Problem` and affects nothing else. Discovery itself never raises.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dl_techniques.core.__about__ import CONTRACT
from dl_techniques.core.distributions import (
    COMPONENTS_GROUP,
    EntryPoint,
    Provider,
    normalize,
    survey,
)
from dl_techniques.core.entry import Entry, Problem
from dl_techniques.core.first_party import DISTRIBUTIONS
from dl_techniques.core.identifier import FIRST_PARTY_NAMESPACE
from dl_techniques.core.importing import describe
from dl_techniques.core.locating import LocationError, package_folders, read_limited
from dl_techniques.core.manifest import FILENAME, MAX_BYTES, SCHEMA, Manifest, ManifestError

_PACKAGE = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_VALUE: Final = re.compile(rf"({_PACKAGE})\s*:\s*{re.escape(FILENAME)}")


class Discovery(NamedTuple):
    """What one look at the installed distributions found."""

    entries: tuple[Entry, ...]
    """Every declared component, in no particular order; identifiers may clash."""
    problems: tuple[Problem, ...]
    newer: frozenset[str]
    """Manifests (their locations) whose layout a later core defines."""


def discover(path: Sequence[str] | None = None) -> Discovery:
    """Read the manifests of all installed distributions.

    Args:
        path: Folders to look in instead of all that an import would search.
    """
    found = survey(path)
    entries: list[Entry] = []
    problems = list(found.problems)
    newer: set[str] = set()
    for provider in found.providers:
        values: set[str] = set()
        for entry_point in provider.entry_points:
            if entry_point.group != COMPONENTS_GROUP or entry_point.value in values:
                continue
            values.add(entry_point.value)
            try:
                _read(entry_point, provider, path, entries, problems, newer)
            except (LocationError, ManifestError, OSError) as error:
                problems.append(_problem(provider, entry_point, str(error)))
            except Exception as error:
                problems.append(_problem(provider, entry_point, describe(error)))
    return Discovery(tuple(entries), tuple(problems), frozenset(newer))


def may_claim_namespace(distribution: str, package: str) -> bool:
    """Whether components in the family's own namespace may come from there.

    Args:
        distribution: The distribution that declares them.
        package: The import package that they live in.
    """
    return normalize(distribution) in DISTRIBUTIONS and package.startswith(
        f"{FIRST_PARTY_NAMESPACE}."
    )


def _read(
    entry_point: EntryPoint,
    provider: Provider,
    path: Sequence[str] | None,
    entries: list[Entry],
    problems: list[Problem],
    newer: set[str],
) -> None:
    match = _VALUE.fullmatch(entry_point.value)
    if match is None:
        raise ManifestError(f"the value must read `package:{FILENAME}`")
    package = match[1]
    file = _manifest_file(package, path)
    location = str(file)
    manifest = Manifest.parse(read_limited(file, MAX_BYTES), package=package)
    if manifest.namespace == FIRST_PARTY_NAMESPACE and not may_claim_namespace(
        provider.name, package
    ):
        raise ManifestError(
            f"{location}: the namespace {FIRST_PARTY_NAMESPACE!r} belongs to the distributions "
            f"{', '.join(DISTRIBUTIONS)} and to packages below `{FIRST_PARTY_NAMESPACE}.`"
        )
    problems.extend(
        Problem(provider.name, "manifest", fault, location) for fault in manifest.faults
    )
    if manifest.schema > SCHEMA:
        newer.add(location)
        message = f"schema {manifest.schema} is newer than this core's {SCHEMA}: upgrade dlt-core"
        problems.append(Problem(provider.name, "manifest", message, location))
    if manifest.contract > CONTRACT:
        message = (
            f"contract {manifest.contract} is newer than this core's {CONTRACT}: upgrade dlt-core"
        )
        problems.append(Problem(provider.name, "manifest", message, location))
    entries.extend(
        Entry(
            id=record.id,
            kind=record.kind,
            object=record.object,
            summary=record.summary,
            distribution=provider.name,
            version=provider.version,
            location=location,
            tags=record.tags,
            paper=record.paper,
            aliases=record.aliases,
            since=record.since,
            deprecated=record.deprecated,
            unsafe=record.unsafe,
            variants=record.variants,
            contract=manifest.contract,
        )
        for record in manifest.components
    )


def _manifest_file(package: str, path: Sequence[str] | None) -> Path:
    folders = package_folders(package, path)
    files = [Path(folder) / FILENAME for folder in folders]
    # `lexists`, so that a loop of links is reported as one and not as a missing file.
    present = [file for file in files if file.is_symlink() or file.exists()]
    if len(present) > 1:
        raise LocationError(f"{FILENAME} lies in several folders: {', '.join(map(str, present))}")
    if not present:
        archived = any(not Path(folder).is_dir() for folder in folders)
        hint = " (a package inside an archive is not supported)" if archived else ""
        raise LocationError(f"{FILENAME} is missing in {', '.join(folders)}{hint}")
    return present[0]


def _problem(provider: Provider, entry_point: EntryPoint, message: str) -> Problem:
    stated = f"{entry_point.name} = {entry_point.value}"
    return Problem(
        provider.name, "manifest", f"entry point {stated!a}: {message}", provider.location
    )
