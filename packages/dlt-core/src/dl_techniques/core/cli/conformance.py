"""`dl-techniques conformance`."""

from __future__ import annotations

import argparse

from dl_techniques.core.catalog import registry
from dl_techniques.core.cli.output import UserError, say, say_json
from dl_techniques.core.errors import UnknownComponent


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Args:
        parser: The command's parser.
    """
    parser.add_argument("target", help="a distribution, or the identifier of a component")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Check one component or all of a distribution; 1 if a check fails or none was run.

    Args:
        options: The parsed arguments.
    """
    from dl_techniques.core.testing import check_component

    identifiers = _identifiers(options.target)
    reports = []
    for identifier in identifiers:
        report = check_component(registry.load(identifier))
        reports.append(report)
        if not options.json:
            say(f"{identifier}: {report.summary()}")
    if options.json:
        say_json(reports=[report.to_json() for report in reports])
    checks = sum(len(report) for report in reports)
    failures = sum(len(report.failures) for report in reports)
    if not options.json:
        say(f"{len(identifiers)} components, {checks} checks, {failures} failures")
    if not checks:
        raise UserError(f"No check was run for {options.target!r}.")
    return int(failures > 0)


def _identifiers(target: str) -> list[str]:
    entries = registry.list(distribution=target)
    if entries:
        return [entry.id for entry in entries]
    try:
        return [registry.find(target).id]
    except UnknownComponent as error:
        raise UserError(f"{target!r} is no installed distribution, either. {error}") from error
