"""Index of identifiers, aliases and bare names, and the conflicts among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dl_techniques.core.entry import Entry, Problem


class Claims(NamedTuple):
    """All entries, with the ways to ask for them."""

    entries: tuple[Entry, ...]
    """Sorted by identifier; clashing ones are marked in `Entry.conflict`."""
    keys: dict[str, tuple[Entry, ...]]
    """Identifier or alias -> its claimants; more than one is a conflict."""
    names: dict[str, tuple[Entry, ...]]
    """Bare name, of an identifier or an alias -> the entries that answer to it."""
    problems: tuple[Problem, ...]
    """One for each conflict."""

    def matches(self, text: str, kind: str | None = None) -> tuple[Entry, ...]:
        """The entries that answer to an identifier, an alias or a bare name.

        Args:
            text: The request.
            kind: Only entries of this kind.
        """
        found = (self.keys if ">" in text else self.names).get(text, ())
        return found if kind is None else tuple(entry for entry in found if entry.kind == kind)


def claim(entries: Iterable[Entry]) -> Claims:
    """Order entries and find the conflicts among them.

    Nothing is decided by order: where two entries claim one identifier or alias, both stay
    listed, both are marked, and asking for it is ambiguous.

    Args:
        entries: The entries of discovery.
    """
    ordered = sorted(entries, key=_order)
    claimants: dict[str, list[int]] = {}
    for index, entry in enumerate(ordered):
        for key in (entry.id, *entry.aliases):
            claimants.setdefault(key, []).append(index)
    rivals: dict[int, set[int]] = {}
    problems: list[Problem] = []
    for key, indices in claimants.items():
        if len(indices) > 1:
            problems += _problems(key, [ordered[index] for index in indices])
            for index in indices:
                rivals.setdefault(index, set()).update(set(indices) - {index})
    for index, others in rivals.items():
        names = tuple(sorted({ordered[other].distribution for other in others}))
        ordered[index] = ordered[index]._replace(conflict=names)
    keys = {key: tuple(ordered[i] for i in indices) for key, indices in claimants.items()}
    names_: dict[str, dict[int, None]] = {}
    for key, indices in claimants.items():
        names_.setdefault(key.partition(">")[2], {}).update(dict.fromkeys(indices))
    by_name = {name: tuple(ordered[i] for i in indices) for name, indices in names_.items()}
    return Claims(tuple(ordered), keys, by_name, tuple(problems))


def describe_claimants(entries: Iterable[Entry]) -> str:
    """Each claimant with its distribution, version and file, one a line.

    Args:
        entries: The claimants.
    """
    return "\n".join(
        f"  - {entry.id} ({entry.kind}) of {entry.distribution} {entry.version} [{entry.location}]"
        for entry in entries
    )


def _order(entry: Entry) -> tuple[str, str, str, str, str]:
    return entry.id, entry.distribution, entry.version, entry.location, entry.object


def _problems(key: str, entries: list[Entry]) -> list[Problem]:
    message = (
        f"{key!r} is claimed by {len(entries)} distributions; asking for it is refused until one "
        f"is removed:\n{describe_claimants(entries)}"
    )
    return [Problem(entry.distribution, "conflict", message) for entry in entries]
