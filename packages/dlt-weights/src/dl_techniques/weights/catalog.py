"""All weights that installed distributions list, found without importing any of them.

A distribution ships `weights.json` beside the `components.json` that an entry point of the group
`dl_techniques.components` names. It may list weights of components of others.
"""

from __future__ import annotations

import difflib
import importlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dl_techniques.core import DLTechniquesError, Entry, Problem, registry
from dl_techniques.core.registry.discovery import (
    COMPONENTS_GROUP,
    LocationError,
    find_providers,
    package_folders,
    read_limited,
)
from dl_techniques.core.text import describe_error
from dl_techniques.weights.entry import WeightEntry
from dl_techniques.weights.errors import AmbiguousWeights, UnknownWeights
from dl_techniques.weights.licence import is_commercial, least_gate
from dl_techniques.weights.rows import (
    FILENAME,
    MAX_BYTES,
    LayoutRow,
    RowError,
    parse_address,
    parse_rows,
)

if TYPE_CHECKING:
    from dl_techniques.weights.rules.layout import Layout


class Catalog(NamedTuple):
    """The result of one look at the installed distributions."""

    entries: tuple[WeightEntry, ...]
    layouts: tuple[LayoutRow, ...]
    problems: tuple[Problem, ...]

    @property
    def conflicts(self) -> dict[str, tuple[WeightEntry, ...]]:
        """Names that several rows claim."""
        claims: dict[tuple[str, str], list[WeightEntry]] = defaultdict(list)
        for entry in self.entries:
            for name in entry.names:
                claims[entry.component, name].append(entry)
        return {name: tuple(rows) for (_, name), rows in claims.items() if len(rows) > 1}


def read_catalog(path: Sequence[str] | None = None) -> Catalog:
    """Read the listings of all installed distributions; a broken one affects no other.

    Args:
        path: Folders to look in instead of all that an import would search.
    """
    entries: list[WeightEntry] = []
    layouts: list[LayoutRow] = []
    problems: list[Problem] = []
    for name, version, package, file in _listings(path):
        try:
            rows = parse_rows(read_limited(file, MAX_BYTES), package=package)
        except (RowError, OSError) as error:
            problems.append(Problem(name, "manifest", str(error), str(file)))
            continue
        where = str(file)
        entries += [
            replace(entry, distribution=name, version=version, location=where)
            for entry in rows.weights
        ]
        layouts += [row._replace(distribution=name, location=where) for row in rows.layouts]
        problems += [Problem(name, "manifest", fault, str(file)) for fault in rows.faults]
    problems += _unknown_variants(entries)
    return Catalog(tuple(entries), tuple(layouts), tuple(problems))


def _listings(path: Sequence[str] | None) -> Iterator[tuple[str, str, str, Path]]:
    for provider in find_providers(path)[0]:
        values = {p.value for p in provider.entry_points if p.group == COMPONENTS_GROUP}
        for package in sorted(value.partition(":")[0].strip() for value in values):
            try:
                folders = package_folders(package, path)
            except LocationError:  # the registry reports it
                continue
            for folder in folders:
                file = Path(folder) / FILENAME
                if file.is_symlink() or file.exists():
                    yield provider.name, provider.version, package, file


def _unknown_variants(entries: Iterable[WeightEntry]) -> Iterator[Problem]:
    for entry in entries:
        component = _component(entry.component)
        if component is None or entry.variant in ("", *component.variants):
            continue
        message = (
            f"{entry.name} is for the variant {entry.variant!r}, which {entry.component} lacks; "
            f"it has {', '.join(component.variants) or 'no variants'}"
        )
        yield Problem(entry.distribution, "manifest", message, entry.location)


def _component(identifier: str) -> Entry | None:
    try:
        return registry.find(identifier)
    except DLTechniquesError:  # weights of a component that is not installed may be listed
        return None


def list_weights(
    component: str | None = None,
    *,
    licence: str | None = None,
    commercial: bool | None = None,
) -> list[WeightEntry]:
    """List the weights of all installed distributions, without importing any.

    Args:
        component: Identifier, bare name or name pattern of a component: `ViT`, `ViT/tiny`.
        licence: Only weights under this licence.
        commercial: Only weights whose licence is known to permit commercial use, or only others.

    Example:
        >>> from dl_techniques import weights
        >>> weights.list(licence="no such licence")
        []
    """
    return [
        entry
        for entry in sorted(read_catalog().entries, key=lambda entry: entry.name)
        if (component is None or _belongs(entry, component))
        and (licence is None or entry.licence == licence.lower())
        and (commercial is None or is_commercial(entry.licence) is commercial)
    ]


def _belongs(entry: WeightEntry, asked: str) -> bool:
    if asked == entry.component:
        return True
    return f"{entry.name}/".startswith(f"{asked.rpartition('>')[2].rstrip('/')}/")


def find_weights(name: str, *, catalog: Catalog | None = None) -> WeightEntry:
    """Find the one row that answers to a name.

    Args:
        name: `Component/variant/tag`, with a tag or one of its aliases; or the address of a file
            on the hub, `hf://owner/name/file@revision`. Where no row lists that file, its licence
            is `unknown`, which asks for consent.
        catalog: Where to look; by default in all that is installed.

    Raises:
        UnknownWeights: If no row has the name.
        AmbiguousWeights: If several rows answer to it.
    """
    found = catalog or read_catalog()
    if name.startswith("hf://"):
        return _addressed(name, found)
    bare = name.rpartition(">")[2]
    rows = [
        entry
        for entry in found.entries
        if bare in entry.names and (">" not in name or name.startswith(f"{entry.component}/"))
    ]
    if len(rows) > 1:
        claims = "; ".join(f"{r.name} of {r.distribution} ({r.location})" for r in rows)
        raise AmbiguousWeights(f"{name} is claimed by several listings: {claims}", rows)
    if not rows:
        raise UnknownWeights(_unknown(bare, found))
    return rows[0]


def _addressed(address: str, catalog: Catalog) -> WeightEntry:
    """The row that lists a file of the hub, or one that knows nothing but the file."""
    try:
        source = parse_address(address)
    except RowError as error:
        raise UnknownWeights(f"{address} is no address of weights: {error}") from None
    for entry in catalog.entries:
        if source in entry.sources:
            return entry
    return WeightEntry(
        component="",
        variant="",
        tag=str(source),
        sources=(source,),
        licence="unknown",
        layout="",
        gate=least_gate("unknown"),
    )


def _unknown(name: str, catalog: Catalog) -> str:
    names = sorted({known for entry in catalog.entries for known in entry.names})
    parent = name.rpartition("/")[0]
    tags = [known for known in names if parent and known.startswith(f"{parent}/")]
    near = tags or difflib.get_close_matches(name, names)
    hint = f"There are {', '.join(near)}." if near else "See `dl-techniques weights list`."
    faults = "".join(f"\n{problem}" for problem in catalog.problems)
    return f"No installed distribution lists the weights {name}. {hint}{faults}"


def layouts_of(component: str) -> dict[str, LayoutRow]:
    """The layouts that installed distributions know for a component, by name.

    Args:
        component: Its identifier.

    Raises:
        AmbiguousWeights: If two distributions bring a layout of one name.
    """
    found: dict[str, LayoutRow] = {}
    for row in read_catalog().layouts:
        if row.component != component:
            continue
        if row.name in found:
            other = found[row.name].distribution
            raise AmbiguousWeights(
                f"{component} has two layouts {row.name!r}: of {other} and {row.distribution}", ()
            )
        found[row.name] = row
    return found


def load_layout(row: LayoutRow) -> Layout:
    """Import the rules of a layout.

    Args:
        row: Where they are.

    Raises:
        UnknownWeights: If the module or the object cannot be imported, or is no layout.
    """
    from dl_techniques.weights.rules.layout import Layout

    module, _, name = row.object.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise UnknownWeights(
            f"{row.distribution}: the layout {row.object} cannot be imported: "
            f"{describe_error(error)}"
        ) from error
    if not isinstance(found, Layout):
        raise UnknownWeights(f"{row.distribution}: {row.object} is no Layout but {type(found)}.")
    return found
