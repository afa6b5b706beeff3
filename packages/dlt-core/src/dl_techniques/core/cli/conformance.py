"""`dl-techniques conformance`."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from dl_techniques.core.cli.completion import completes, distributions, identifiers
from dl_techniques.core.cli.output import UserError, complain, say, say_json, stdout_diverted
from dl_techniques.core.entry import Entry
from dl_techniques.core.errors import UnknownComponent
from dl_techniques.core.project.drift import drift_problems
from dl_techniques.core.project.namespaces import namespace_warnings
from dl_techniques.core.registry.registry import registry
from dl_techniques.core.text import describe_error


class Outcome(NamedTuple):
    """The results of one component."""

    id: str
    report: Any
    """The kit's `Report`; `None` if it could not be checked."""
    error: str | None
    """Why it could not be checked."""

    @property
    def checks(self) -> int:
        """Return how many checks were run; those that do not apply do not count."""
        return sum(r.status != "not_applicable" for r in self.report or ())

    @property
    def failures(self) -> int:
        """Return how many checks failed that must not."""
        return len(self.report.failures) if self.report is not None else 0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Args:
        parser: The command's parser.
    """
    target = parser.add_argument("target", help="a distribution, or the identifier of a component")
    completes(target, lambda: [*identifiers(), *distributions()])
    parser.add_argument(
        "--only", action="append", metavar="CHECK", help="only this check; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Check one component or all of a distribution; 1 if a check fails or no check ran.

    A manifest that differs from the source of an editable installation is a failure, too: what
    it lacks would not be checked.

    Args:
        options: The parsed arguments.
    """
    entries = _entries(options.target)
    problems = [
        problem
        for distribution in sorted({entry.distribution for entry in entries})
        for problem in drift_problems(distribution)
    ]
    for line in (*map(str, problems), *_namespace_warnings(entries)):
        complain(line)
    outcomes = []
    for entry in entries:
        outcome = _check(entry, options.only)
        outcomes.append(outcome)
        if not options.json:
            say(f"{outcome.id}: {outcome.error or outcome.report.summary()}")
    checks = sum(outcome.checks for outcome in outcomes)
    failures = sum(outcome.failures for outcome in outcomes)
    errors = sum(outcome.error is not None for outcome in outcomes)
    if options.json:
        components = [_record(outcome) for outcome in outcomes]
        say_json(
            components=components,
            checks=checks,
            failures=failures,
            errors=errors,
            problems=[problem._asdict() for problem in problems],
        )
    else:
        say(
            f"{len(outcomes)} component(s), {checks} checks, {failures} failures, "
            f"{errors} could not be checked"
        )
    return int(failures > 0 or errors > 0 or bool(problems))


def _entries(target: str) -> list[Entry]:
    entries = list(registry.list(distribution=target))
    if entries:
        return entries
    try:
        return [registry.find(target)]
    except UnknownComponent as error:
        lines = [f"No distribution {target!r} with components is installed. {error}"]
        lines += [str(problem) for problem in drift_problems()]
        raise UserError("\n".join(lines)) from error


def _namespace_warnings(entries: list[Entry]) -> list[str]:
    packages: dict[str, list[str]] = {}
    for entry in entries:
        packages.setdefault(entry.object.partition(".")[0], []).append(entry.id)
    return [
        f"warning: {warning}"
        for package, identifiers in packages.items()
        for warning in namespace_warnings(package, identifiers)
    ]


def _check(entry: Entry, only: list[str] | None) -> Outcome:
    from dl_techniques.core.testing import check_component

    try:
        with stdout_diverted():  # what a component prints must not mix with the answer
            report = check_component(registry.load(entry.id), only=only)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Outcome(entry.id, None, describe_error(error))
    outcome = Outcome(entry.id, report, None)
    return outcome if outcome.checks else outcome._replace(error="no check was run")


def _record(outcome: Outcome) -> dict[str, Any]:
    results = outcome.report.to_json()["results"] if outcome.report is not None else []
    return {"id": outcome.id, "error": outcome.error, "results": results}
