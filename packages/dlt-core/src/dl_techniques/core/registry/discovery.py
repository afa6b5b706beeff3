"""Find the components of all installed distributions without importing any of them.

Each finder, distribution, entry point and component is read under a guard of its own: a failure
becomes a `Problem` and affects nothing else. Discovery itself never raises.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import (
    Distribution,
    DistributionFinder,
    EntryPoint,
    MetadataPathFinder,
)
from pathlib import Path
from typing import Any, Final, NamedTuple

from dl_techniques.core.__about__ import CONTRACT
from dl_techniques.core.contract.identifier import FIRST_PARTY_NAMESPACE
from dl_techniques.core.entry import Entry, Problem, guarded
from dl_techniques.core.registry.manifest import (
    FILENAME,
    MAX_BYTES,
    SCHEMA,
    Manifest,
    ManifestError,
)
from dl_techniques.core.registry.owners import distributions
from dl_techniques.core.text import describe_error

COMPONENTS_GROUP: Final = "dl_techniques.components"
PLUGINS_GROUP: Final = "dl_techniques.plugins"
ALLOWED_VARIABLE: Final = "DL_TECHNIQUES_PLUGINS"
DISABLED_VARIABLE: Final = "DL_TECHNIQUES_DISABLE"

_ENTRY_POINTS: Final = "entry_points.txt"
_MAX_ENTRY_POINTS: Final = 1024 * 1024
_PACKAGE = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_VALUE: Final = re.compile(rf"({_PACKAGE})\s*:\s*{re.escape(FILENAME)}")


class LocationError(LookupError):
    """A package does not exist or cannot hold data files."""


class Provider(NamedTuple):
    """One installed distribution with entry points of this family's groups."""

    name: str
    version: str
    location: str
    """Its metadata folder."""
    entry_points: tuple[EntryPoint, ...]


class Discovery(NamedTuple):
    """The result of one look at the installed distributions."""

    entries: tuple[Entry, ...]
    """Every declared component, in no particular order; identifiers may clash."""
    problems: tuple[Problem, ...]
    newer: frozenset[str]
    """Manifests (their locations) whose layout a later core defines."""
    files: frozenset[str]
    """Every manifest that was looked at, also the unreadable ones."""


def discover(path: Sequence[str] | None = None) -> Discovery:
    """Read the manifests of all installed distributions.

    Args:
        path: Folders to look in instead of all that an import would search.
    """
    providers, problems = find_providers(path)
    entries: list[Entry] = []
    newer: set[str] = set()
    files: set[str] = set()
    for provider in providers:
        points = [p for p in provider.entry_points if p.group == COMPONENTS_GROUP]
        for point in {p.value: p for p in reversed(points)}.values():
            stated = f"entry point {f'{point.name} = {point.value}'!a}: "
            with guarded(problems, provider.name, "manifest", provider.location, stated):
                package = _package(point.value)
                candidates = [Path(folder) / FILENAME for folder in package_folders(package, path)]
                files.update(map(str, candidates))
                file = _only(candidates)
                manifest = Manifest.parse(read_limited(file, MAX_BYTES), package=package)
                _require_namespace(manifest, provider, file)
                entries += [
                    entry._replace(
                        distribution=provider.name, version=provider.version, location=str(file)
                    )
                    for entry in manifest.components
                ]
                problems += _manifest_problems(manifest, provider, file)
                if manifest.schema > SCHEMA:
                    newer.add(str(file))
    return Discovery(tuple(entries), tuple(problems), frozenset(newer), frozenset(files))


def find_providers(path: Sequence[str] | None = None) -> tuple[list[Provider], list[Problem]]:
    """Find the distributions with entry points of this family's groups.

    Args:
        path: Folders to look in instead of `sys.path`.

    Returns:
        The providers, and the problems with others.
    """
    providers: list[Provider] = []
    problems: list[Problem] = []
    seen: dict[str, Provider | None] = {}
    places: set[str] = set()
    for distribution in _distributions(path, problems):
        folder = _folder(distribution)
        if folder is not None and str(folder) in places:  # two finders may know one folder
            continue
        places.add(str(folder))
        name = _split(folder)[0] if folder is not None else "unknown"
        with guarded(problems, name, "discovery", str(folder) if folder is not None else None):
            name, version = _identity(distribution, folder)
            if _hidden(name):
                continue
            points = _entry_points(distribution, folder)
            provider = Provider(name, version, str(folder or f"{name}-{version}"), points)
            if name not in seen:
                seen[name] = provider if points else None
                providers += [provider] if points else []
            elif points:
                problems.extend(_shadowed(provider, seen[name]))
    return providers, problems


def package_folders(package: str, path: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the folders of an installed package without importing its code.

    The finders of `sys.meta_path` locate a top-level package, or one inside namespace packages,
    which have no code. Deeper packages are folders of these.

    Args:
        package: Its dotted name.
        path: Folders to search instead of all that an import would search.

    Returns:
        The folders; several only for a namespace package.

    Raises:
        LocationError: If it cannot be found, or is a module without a folder.
    """
    parts = package.split(".")
    if path is not None:
        return _existing(package, [Path(folder, *parts) for folder in path])
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        try:
            spec = importlib.util.find_spec(name)
        except Exception as error:  # a finder, or an imported module without a specification
            raise LocationError(f"{name!r} cannot be located: {describe_error(error)}") from error
        if spec is None:
            raise LocationError(f"the package {name!r} cannot be found")
        folders = spec.submodule_search_locations
        if folders is None:
            raise LocationError(f"{name!r} is a module, not a package")
        if spec.origin is not None and end < len(parts):  # its own code would run: go no further
            return _existing(package, [Path(folder, *parts[end:]) for folder in folders])
    return tuple(folders or ())


def read_limited(file: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises:
        OSError: If it cannot be read: missing, a loop of links, no regular file, too large.
    """
    # Opening a pipe would wait for ever, and reading a device might never end.
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{file} is not a regular file")
    if status.st_size > limit:
        raise OSError(f"{file} has {status.st_size} bytes; at most {limit} are read")
    with file.open("rb") as stream:
        return stream.read(limit)


def normalize(name: str) -> str:
    """Return a distribution's name in the form of PEP 503, in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def forget_folders() -> None:
    """Make the next look read all folders anew, also those whose time shows no change."""
    importlib.invalidate_caches()
    # Python 3.11 leaves the finder of metadata out; only an instance can be asked in all versions.
    MetadataPathFinder().invalidate_caches()


def may_claim_namespace(distribution: str, package: str) -> bool:
    """Return whether a distribution's package may declare components in the family's namespace.

    Args:
        distribution: The distribution that declares them.
        package: The import package that they live in.
    """
    return normalize(distribution) in distributions() and package.startswith(
        f"{FIRST_PARTY_NAMESPACE}."
    )


def foreign_core(path: Sequence[str] | None = None) -> tuple[Problem, ...]:
    """Find distributions named `dlt-core` of another project.

    The core of dltHub's data loader shares the name; it has calendar versions and owns the import
    package `dlt`. pip takes it where a requirement has no ceiling.

    Args:
        path: Folders to look in instead of `sys.path`.
    """
    found: list[Problem] = []
    for distribution in _distributions(path, []):
        folder = _folder(distribution)
        name, version = _split(folder) if folder is not None else ("", "")
        if normalize(name) != "dlt-core":
            continue
        top_level = record = ""
        with guarded([], name, "discovery"):
            top_level = distribution.read_text("top_level.txt") or ""
            record = distribution.read_text("RECORD") or ""
        owns_dlt = "dlt" in top_level.split() or re.search(r"(?m)^dlt/", record)
        if owns_dlt or re.match(r"[2-9]\d{3}", version):
            message = (
                f"dlt-core {version} is dltHub's data loader, not the core of dl_techniques. "
                "Install the right one with: pip install 'dlt-core>=0.1,<1'"
            )
            found.append(Problem("dlt-core", "discovery", message, str(folder)))
    return tuple(found)


def _distributions(path: Sequence[str] | None, problems: list[Problem]) -> Iterator[Distribution]:
    """Iterate over all distributions; a finder that fails loses only its own."""
    folders = [folder for folder in (sys.path if path is None else path) if isinstance(folder, str)]
    finders: list[Any] = [MetadataPathFinder] if path is not None else list(sys.meta_path)
    context = DistributionFinder.Context(path=folders)
    for finder in finders:
        found: list[Distribution] = []
        with guarded(problems, "unknown", "discovery", ascii(finder)):
            if hasattr(finder, "find_distributions"):
                found += finder.find_distributions(context)
        yield from found


def _folder(distribution: Distribution) -> Any:
    """Return the metadata folder (or its place in an archive) where a distribution has one."""
    return getattr(distribution, "_path", None)


def _split(folder: Any) -> tuple[str, str]:
    """Return the name and version that a metadata folder's name states, as pip reads it."""
    stem = Path(folder.parent.name if folder.name == "EGG-INFO" else folder.name).stem
    name, _, rest = stem.partition("-")
    return normalize(name) or "unknown", rest.partition("-")[0]


def _identity(distribution: Distribution, folder: Any) -> tuple[str, str]:
    # Rather from the folder: parsing the metadata file takes longer than all else.
    name, version = _split(folder) if folder is not None else ("", "")
    if version:
        return name, version
    return normalize(distribution.metadata["Name"]), distribution.version


def _entry_points(distribution: Distribution, folder: Any) -> tuple[EntryPoint, ...]:
    text = _entry_points_text(distribution, folder)
    if "dl_techniques." not in text:
        return ()
    groups = {COMPONENTS_GROUP, PLUGINS_GROUP}
    try:
        points = [point for point in distribution.entry_points if point.group in groups]
    except TypeError as error:
        raise ValueError(f"{_ENTRY_POINTS} has a line without `name = value`") from error
    if not points and re.search(r"(?m)^\s*\[\s*dl_techniques\.", text):
        raise ValueError(f"{_ENTRY_POINTS} has no readable entry point")
    return tuple({(p.group, p.name, p.value): p for p in points}.values())


def _entry_points_text(distribution: Distribution, folder: Any) -> str:
    if isinstance(folder, Path):
        try:
            return read_limited(folder / _ENTRY_POINTS, _MAX_ENTRY_POINTS).decode()
        except (FileNotFoundError, NotADirectoryError):
            return ""
    return distribution.read_text(_ENTRY_POINTS) or ""


def _hidden(name: str) -> bool:
    """Return whether the narrowing variables hide a distribution; empty ones hide nothing."""
    allowed = _names(ALLOWED_VARIABLE)
    return bool(allowed and name not in allowed) or name in _names(DISABLED_VARIABLE)


def _names(variable: str) -> set[str]:
    listed = os.environ.get(variable, "").split(",")
    return {normalize(name.strip()) for name in listed if name.strip()}


def _shadowed(second: Provider, first: Provider | None) -> Iterator[Problem]:
    """Report a second metadata folder: Python imports from the first on the path only."""
    if first is not None:
        if Path(first.location).resolve() == Path(second.location).resolve():
            return
        # An editable install by setuptools leaves an .egg-info beside the .dist-info.
        kinds = {Path(provider.location).suffix for provider in (first, second)}
        if first.version == second.version and kinds == {".egg-info", ".dist-info"}:
            return
    used = f"version {first.version} in {first.location}" if first else "a copy without components"
    message = (
        f"installed twice: {used} comes first on the path and hides "
        f"version {second.version} in {second.location}"
    )
    yield Problem(second.name, "discovery", message, second.location)


def _existing(package: str, folders: Iterable[Path]) -> tuple[str, ...]:
    found = tuple(str(folder) for folder in folders if folder.is_dir())
    if not found:
        raise LocationError(f"the package {package!r} cannot be found")
    return found


def _package(value: str) -> str:
    match = _VALUE.fullmatch(value)
    if match is None:
        raise ManifestError(f"the value must read `package:{FILENAME}`")
    return match[1]


def _only(candidates: Sequence[Path]) -> Path:
    """Return the one manifest among the folders of a package."""
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


def _manifest_problems(manifest: Manifest, provider: Provider, file: Path) -> Iterator[Problem]:
    """Report the faults of a manifest that could be read."""
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
