"""`dl-techniques list`."""

from __future__ import annotations

import argparse

from dl_techniques.core.cli.completion import completes, distributions, tags
from dl_techniques.core.cli.output import complain, one_of, say, say_json
from dl_techniques.core.contract.identifier import KINDS
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
    problems = registry.problems
    if options.json:
        say_json(components=listing.records(), problems=[problem._asdict() for problem in problems])
        return 0
    say(listing.table())
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        complain(f"{count} on the way; `dl-techniques doctor` shows them")
    return 0
