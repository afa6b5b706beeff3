"""`dl-techniques list`."""

from __future__ import annotations

import argparse

from dl_techniques.core.cli.completion import completes, distributions, tags
from dl_techniques.core.cli.output import complain, one_of, say, say_json
from dl_techniques.core.contract.identifier import KINDS
from dl_techniques.core.registry.listing import Listing
from dl_techniques.core.registry.registry import registry


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Args:
        parser: The command's parser.
    """
    kind = parser.add_argument("--kind", type=one_of(KINDS), help="only this kind", metavar="KIND")
    completes(kind, lambda: KINDS)
    completes(parser.add_argument("--tag", help="only components with this tag"), tags)
    distribution = parser.add_argument(
        "--distribution", help="only components of this distribution"
    )
    completes(distribution, distributions)
    parser.add_argument("--search", help="only components that mention all these words")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """List the components.

    Args:
        options: The parsed arguments.
    """
    listing = registry.list(
        kind=options.kind,
        tag=options.tag,
        distribution=options.distribution,
        search=options.search,
    )
    columns = _columns(listing) if options.kind == "model" else {}
    problems = registry.problems
    if options.json:
        records = listing.records()
        for record in records:
            texts = {name.lower(): column.get(record["id"], "") for name, column in columns.items()}
            record |= {name: text for name, text in texts.items() if name not in record}
        say_json(components=records, problems=[problem._asdict() for problem in problems])
        return 0
    say(listing.table(columns=columns))
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        complain(f"{count} on the way; `dl-techniques doctor` shows them")
    return 0


def _columns(listing: Listing) -> dict[str, dict[str, str]]:
    """Return the columns that plugins and manifests add to models."""
    columns = {"VARIANTS": {entry.id: " ".join(entry.variants) for entry in listing}}
    ids = tuple(entry.id for entry in listing)
    for answer in registry.plugins.call("dl_list_columns", ids=ids):
        for heading, column in answer.value.items():
            columns.setdefault(heading, {}).update(column)
    return columns
