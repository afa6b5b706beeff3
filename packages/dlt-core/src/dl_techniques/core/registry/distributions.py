"""The installed distributions that take part, as their metadata says; nothing is imported.

Distributions are looked at one by one, each under a guard: metadata is somebody else's files,
and one broken folder must not hide the others.
"""

from __future__ import annotations

import codecs
import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder
from pathlib import Path
from typing import Any, Final, NamedTuple

from dl_techniques.core.entry import Problem
from dl_techniques.core.registry.locating import read_limited
from dl_techniques.core.text import describe_error

COMPONENTS_GROUP: Final = "dl_techniques.components"
PLUGINS_GROUP: Final = "dl_techniques.plugins"
ALLOWED_VARIABLE: Final = "DL_TECHNIQUES_PLUGINS"
DISABLED_VARIABLE: Final = "DL_TECHNIQUES_DISABLE"

_MAX_ENTRY_POINTS = 1024 * 1024
_MAX_METADATA = 16 * 1024 * 1024
_MARK = b"dl_techniques."
_FIRST_CALENDAR_VERSION = 2000


class EntryPoint(NamedTuple):
    """One line `name = value` of a group."""

    group: str
    name: str
    value: str


class Provider(NamedTuple):
    """One installed distribution with entry points of ours."""

    name: str
    version: str
    location: str
    """Its metadata folder."""
    entry_points: tuple[EntryPoint, ...]


class Survey(NamedTuple):
    """All providers, and what was wrong with others."""

    providers: tuple[Provider, ...]
    problems: tuple[Problem, ...]


def normalize(name: str) -> str:
    """A distribution's name in the form of PEP 503, in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def forget_folders() -> None:
    """Make the next look read all folders anew, also those whose time shows no change."""
    importlib.invalidate_caches()
    # Python 3.11 leaves the finder of metadata out; only an instance can be asked in all versions.
    MetadataPathFinder().invalidate_caches()


def survey(path: Sequence[str] | None = None) -> Survey:
    """All distributions on the path that have entry points of ours.

    Args:
        path: Folders to look in instead of `sys.path`.
    """
    providers: list[Provider] = []
    problems: list[Problem] = []
    seen: dict[str, Provider | None] = {}
    places: set[str] = set()
    for distribution in _distributions(path, problems):
        where = _location(distribution)
        if where in places:  # two finders may know one folder, as with `importlib_metadata`
            continue
        places.add(where)
        try:
            _examine(distribution, where, seen, providers, problems)
        except Exception as error:
            name = _from_folder(where)[0]
            problems.append(Problem(name, "discovery", describe_error(error), where))
    return Survey(tuple(providers), tuple(problems))


def foreign_core(path: Sequence[str] | None = None) -> tuple[Problem, ...]:
    """Distributions named `dlt-core` that are another project's.

    The name is shared with the core of dltHub's data loader, which has calendar versions and
    owns the import package `dlt`. pip takes theirs where a requirement has no ceiling.

    Args:
        path: Folders to look in instead of `sys.path`.
    """
    found: list[Problem] = []
    for distribution in _distributions(path, []):
        where = _location(distribution)
        if normalize(_from_folder(where)[0]) != "dlt-core":
            continue
        version = _headers(distribution, where, [])[1]
        if _is_calendar(version) or _owns_dlt(distribution):
            message = (
                f"dlt-core {version} is dltHub's data loader, not the core of dl_techniques. "
                "Install the right one with: pip install 'dlt-core>=0.1,<1'"
            )
            found.append(Problem("dlt-core", "discovery", message, where))
    return tuple(found)


def _is_calendar(version: str) -> bool:
    major = re.match(r"\d{1,9}", version)
    return major is not None and int(major[0]) >= _FIRST_CALENDAR_VERSION


def _owns_dlt(distribution: Distribution) -> bool:
    try:
        top_level = _content(distribution, "top_level.txt", _MAX_ENTRY_POINTS) or b""
        record = _content(distribution, "RECORD", _MAX_METADATA) or b""
    except OSError:  # then the version alone decides
        return False
    return b"dlt" in top_level.split() or re.search(rb"(?m)^dlt/", record) is not None


def _distributions(path: Sequence[str] | None, problems: list[Problem]) -> Iterator[Distribution]:
    """All distributions; a finder or a folder that fails loses its own only."""
    searches: list[tuple[Any, DistributionFinder.Context, str]] = []
    for finder in [PathFinder] if path is not None else list(sys.meta_path):
        if finder is PathFinder:
            # Not by its own method, which the backport `importlib_metadata` takes away.
            searches += [
                (MetadataPathFinder, DistributionFinder.Context(path=[folder]), folder)
                for folder in (sys.path if path is None else path)
            ]
        elif hasattr(finder, "find_distributions"):
            searches.append((finder, DistributionFinder.Context(), repr(finder)))
    for finder, context, where in searches:
        try:
            yield from finder.find_distributions(context)
        except Exception as error:
            problems.append(Problem("unknown", "discovery", describe_error(error), ascii(where)))


def _examine(
    distribution: Distribution,
    where: str,
    seen: dict[str, Provider | None],
    providers: list[Provider],
    problems: list[Problem],
) -> None:
    short = normalize(_from_folder(where)[0])
    if _hidden(short):
        return
    content = _content(distribution, "entry_points.txt", _MAX_ENTRY_POINTS)
    if content is None or _MARK not in content:
        seen.setdefault(short, None)
        return
    faults: list[Problem] = []
    name, version = _headers(distribution, where, faults)
    entry_points, malformed = _parse(content)
    provider = Provider(name, version, where, entry_points)
    if short in seen:
        problems.extend(_shadowed(provider, seen[short]))
        return
    seen[short] = provider
    faults += [
        Problem(name, "discovery", f"entry_points.txt: {fault}", where) for fault in malformed
    ]
    problems += faults
    if entry_points:
        providers.append(provider)


def _hidden(name: str) -> bool:
    """Whether the narrowing variables hide a distribution; empty ones hide nothing."""
    allowed = _names(ALLOWED_VARIABLE)
    return bool(allowed and name not in allowed) or name in _names(DISABLED_VARIABLE)


def _names(variable: str) -> set[str]:
    listed = os.environ.get(variable, "").split(",")
    return {normalize(name.strip()) for name in listed if name.strip()}


def _shadowed(second: Provider, first: Provider | None) -> Iterator[Problem]:
    """A second metadata folder of one distribution: Python imports from the first path only."""
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


def _content(distribution: Distribution, name: str, limit: int) -> bytes | None:
    """One metadata file, or `None` if there is none."""
    # The public `read_text` has no limit and would wait for ever on a pipe; where a distribution
    # is a plain folder, the folder is read instead.
    folder: Any = getattr(distribution, "_path", None)
    try:
        if isinstance(folder, Path):
            return read_limited(folder / name, limit)
    except (FileNotFoundError, NotADirectoryError):
        return None
    text = distribution.read_text(name)
    return None if text is None else text.encode("utf-8")[:limit]


def _headers(distribution: Distribution, where: str, problems: list[Problem]) -> tuple[str, str]:
    """Name and version: from the metadata, or from the folder's name where that is broken."""
    name, version = _from_folder(where)
    file = "METADATA" if where.endswith(".dist-info") else "PKG-INFO"
    try:
        content = _content(distribution, file, _MAX_METADATA)
    except (OSError, ValueError) as error:
        problems.append(Problem(name, "discovery", f"{file}: {describe_error(error)}", where))
        return name, version
    if content is None:
        problems.append(Problem(name, "discovery", f"{file} is missing", where))
        return name, version
    # Only the headers, which end at the first empty line: the rest is the project's README.
    head = content.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        fault = f"{file} is not UTF-8: {error.reason} at {error.start}"
        problems.append(Problem(name, "discovery", fault, where))
    text = head.decode("utf-8", "replace")
    headers = dict(re.findall(r"(?m)^(Name|Version):[ \t]*([\w.!+-]+)[ \t]*$", text))
    stated = headers.get("Name", name)
    if normalize(stated) != normalize(name):
        # The folder's name is what pip goes by; a file inside must not take another's place.
        fault = f"{file} names the distribution {stated!r}, its folder {name!r}"
        problems.append(Problem(name, "discovery", fault, where))
        return name, version
    return stated, headers.get("Version", version)


def _location(distribution: Distribution) -> str:
    """The metadata folder, or what stands for it where a finder has no folders."""
    folder = getattr(distribution, "_path", None)
    if folder is not None:
        return str(folder).rstrip("/")
    try:
        name, version = distribution.metadata["Name"], distribution.version
    except Exception as error:  # a foreign finder's distribution is foreign code
        name, version = "unknown", type(error).__name__
    return f"{str(name).replace('-', '_')}-{version}.dist-info"


def _from_folder(where: str) -> tuple[str, str]:
    """Name and version as the metadata folder's own name gives them."""
    folder = Path(where)
    stem = folder.parent.stem if folder.name == "EGG-INFO" else folder.stem
    name, _, rest = stem.partition("-")
    return name or "unknown", rest.partition("-")[0] or "unknown"


def _parse(content: bytes) -> tuple[tuple[EntryPoint, ...], list[str]]:
    """The lines of our groups, and what is malformed; one bad line spoils no other."""
    try:
        # Not by "utf-8-sig": the codec would be imported here, by finders that may be broken.
        text = content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        return (), [f"not UTF-8: {error.reason} at {error.start}"]
    found: dict[EntryPoint, None] = {}
    faults: list[str] = []
    group = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            group = line[1:-1].strip() if line.endswith("]") else ""
            if not group:
                faults.append(f"line {number} is not a section header: {line[:80]!a}")
            continue
        if group not in {COMPONENTS_GROUP, PLUGINS_GROUP}:
            continue
        name, separator, value = (part.strip() for part in line.partition("="))
        if separator and name and value:
            found[EntryPoint(group, name, value)] = None
        else:
            faults.append(f"line {number} does not read `name = value`: {line[:80]!a}")
    return tuple(found), faults
