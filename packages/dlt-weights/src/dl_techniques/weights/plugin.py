"""The commands of this distribution, and its part of `dl-techniques doctor`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dl_techniques.core.registry.hooks import hookimpl

if TYPE_CHECKING:
    from dl_techniques.core import Problem


@hookimpl
def dl_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `dl-techniques weights` and `dl-techniques port`.

    Args:
        subparsers: Where commands are added.
    """
    from dl_techniques.weights.commands import port, weights

    text = "list, fetch, mirror and verify pretrained weights"
    weights.configure(subparsers.add_parser("weights", help=text, description=f"{text}."))
    text = "turn a checkpoint of another library into a .keras file"
    port.configure(subparsers.add_parser("port", help=text, description=f"{text}."))


@hookimpl
def dl_doctor() -> Iterator[Problem]:
    """Name what is wrong with the listings of weights, and rows without a hash."""
    from dl_techniques.core import Problem
    from dl_techniques.weights.catalog import read_catalog

    catalog = read_catalog()
    yield from catalog.problems
    for name, rows in catalog.conflicts.items():
        owners = ", ".join(sorted({row.distribution for row in rows}))
        yield Problem(
            rows[0].distribution, "conflict", f"{name} is claimed by {owners}", rows[0].location
        )
    for entry in catalog.entries:
        if entry.sha256 is None:
            message = f"{entry.name} has no sha256: what is downloaded cannot be checked"
            yield Problem(entry.distribution, "manifest", message, entry.location)


@hookimpl
def dl_list_columns(ids: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Count the pretrained weights of each model, with their licences.

    Args:
        ids: Identifiers of the models.
    """
    from dl_techniques.weights.catalog import read_catalog

    rows: dict[str, list[str]] = {identifier: [] for identifier in ids}
    for entry in read_catalog().entries:
        if entry.component in rows:
            rows[entry.component].append(entry.licence)
    return {
        "WEIGHTS": {name: str(len(found)) for name, found in rows.items() if found},
        "LICENCES": {name: " ".join(sorted(set(found))) for name, found in rows.items()},
    }
