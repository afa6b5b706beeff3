"""Finding the components of all installed distributions without importing any of them.

Each distribution, each entry point and each component is read under a guard of its own; what
fails becomes a `Problem` and affects nothing else. Discovery itself never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dl_techniques.core.__about__ import CONTRACT
from dl_techniques.core.contract.identifier import FIRST_PARTY_NAMESPACE
from dl_techniques.core.entry import Entry, Problem
from dl_techniques.core.registry.distributions import (
    COMPONENTS_GROUP,
    EntryPoint,
    Provider,
    normalize,
    survey,
)
from dl_techniques.core.registry.locating import LocationError, package_folders, read_limited
from dl_techniques.core.registry.manifest import (
    FILENAME,
    MAX_BYTES,
    SCHEMA,
    Manifest,
    ManifestError,
)
from dl_techniques.core.registry.owners import distributions
from dl_techniques.core.text import describe_error

_PACKAGE = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_VALUE: Final = re.compile(rf"({_PACKAGE})\s*:\s*{re.escape(FILENAME)}")


class Discovery(NamedTuple):
    """What one look at the installed distributions found."""

    entries: tuple[Entry, ...]
    """Every declared component, in no particular order; identifiers may clash."""
    problems: tuple[Problem, ...]
    newer: frozenset[str]
    """Manifests (their locations) whose layout a later core defines."""
    files: frozenset[str]
    """Every manifest that was looked at, also those that could not be read."""


def discover(path: Sequence[str] | None = None) -> Discovery:
    """Read the manifests of all installed distributions.

    Args:
        path: Folders to look in instead of all that an import would search.
    """
    found = survey(path)
    entries: list[Entry] = []
    problems = list(found.problems)
    newer: set[str] = set()
    files: set[str] = set()
    for provider, entry_point in _declared(found.providers):
        try:
            package = _package(entry_point.value)
            candidates = [Path(folder) / FILENAME for folder in package_folders(package, path)]
            files.update(map(str, candidates))
            file = _only(candidates)
            manifest = Manifest.parse(read_limited(file, MAX_BYTES), package=package)
            _require_namespace(manifest, provider, file)
        except (LocationError, ManifestError, OSError) as error:
            problems.append(_problem(provider, entry_point, str(error)))
        except Exception as error:
            problems.append(_problem(provider, entry_point, describe_error(error)))
        else:
            entries += _entries(manifest, provider, file)
            problems += _faults(manifest, provider, file)
            if manifest.schema > SCHEMA:
                newer.add(str(file))
    return Discovery(tuple(entries), tuple(problems), frozenset(newer), frozenset(files))


def may_claim_namespace(distribution: str, package: str) -> bool:
    """Whether components in the family's own namespace may come from there.

    Args:
        distribution: The distribution that declares them.
        package: The import package that they live in.
    """
    return normalize(distribution) in distributions() and package.startswith(
        f"{FIRST_PARTY_NAMESPACE}."
    )


def _declared(providers: Iterable[Provider]) -> Iterator[tuple[Provider, EntryPoint]]:
    """Each manifest that a distribution declares, once."""
    for provider in providers:
        values: set[str] = set()
        for entry_point in provider.entry_points:
            if entry_point.group == COMPONENTS_GROUP and entry_point.value not in values:
                values.add(entry_point.value)
                yield provider, entry_point


def _package(value: str) -> str:
    match = _VALUE.fullmatch(value)
    if match is None:
        raise ManifestError(f"the value must read `package:{FILENAME}`")
    return match[1]


def _only(candidates: Sequence[Path]) -> Path:
    """The one manifest among the folders of a package."""
    # A loop of links does not exist; it is kept, so that reading it says what is wrong.
    present = [file for file in candidates if file.is_symlink() or file.exists()]
    if len(present) > 1:
        raise LocationError(f"{FILENAME} lies in several folders: {', '.join(map(str, present))}")
    if not present:
        folders = [file.parent for file in candidates]
        archived = any(not folder.is_dir() for folder in folders)
        hint = " (a package inside an archive is not supported)" if archived else ""
        raise LocationError(f"{FILENAME} is missing in {', '.join(map(str, folders))}{hint}")
    return present[0]


def _require_namespace(manifest: Manifest, provider: Provider, file: Path) -> None:
    if manifest.namespace == FIRST_PARTY_NAMESPACE and not may_claim_namespace(
        provider.name, manifest.package
    ):
        raise ManifestError(
            f"{file}: the namespace {FIRST_PARTY_NAMESPACE!r} belongs to the distributions "
            f"{', '.join(distributions())} and to packages below `{FIRST_PARTY_NAMESPACE}.`"
        )


def _entries(manifest: Manifest, provider: Provider, file: Path) -> Iterator[Entry]:
    location = str(file)
    for record in manifest.components:
        yield Entry(
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


def _faults(manifest: Manifest, provider: Provider, file: Path) -> Iterator[Problem]:
    """What is wrong with a manifest that could be read."""
    messages = list(manifest.faults)
    for what, stated, known in (
        ("schema", manifest.schema, SCHEMA),
        ("contract", manifest.contract, CONTRACT),
    ):
        if stated > known:
            messages.append(
                f"{what} {stated} is newer than this core's {known}: upgrade dlt-core "
                "(pip install --upgrade 'dlt-core>=0.1,<1')"
            )
    for message in messages:
        yield Problem(provider.name, "manifest", message, str(file))


def _problem(provider: Provider, entry_point: EntryPoint, message: str) -> Problem:
    stated = f"{entry_point.name} = {entry_point.value}"
    return Problem(
        provider.name, "manifest", f"entry point {stated!a}: {message}", provider.location
    )
