"""Results of a run of the kit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import keras

SCHEMA: Final = 2
"""Counted up whenever `Report.to_json` changes its keys or their meaning."""

STATUSES: Final = ("passed", "failed", "skipped", "expected_failure", "not_applicable")


class CheckResult(NamedTuple):
    """The outcome of one check on one example."""

    component: str
    example: str
    check: str
    level: str
    """`must` or `may`."""
    status: str
    """One of `STATUSES`."""
    message: str
    """Why it failed, was expected to, was skipped, or does not apply."""
    seconds: float
    cause: str = ""
    """Equal for all that fail, or are skipped, for one reason; empty where that is not known."""


class ConformanceError(AssertionError):
    """At least one check that must hold failed.

    Args:
        failures: The results at fault.
    """

    def __init__(self, failures: Sequence[CheckResult]) -> None:
        self.failures = tuple(failures)
        lines = [f"{r.component} [{r.example}] {r.check}: {r.message}" for r in self.failures]
        super().__init__("\n".join([*lines, f"{len(lines)} checks failed"]))


class Report(Sequence[CheckResult]):
    """All outcomes for one component.

    Args:
        results: One for each check and example.
    """

    def __init__(self, results: Sequence[CheckResult]) -> None:
        self._results = tuple(results)

    def __getitem__(self, index: Any) -> Any:
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[CheckResult]:
        return iter(self._results)

    @property
    def counts(self) -> dict[str, int]:
        """Return how many results have each status; all five are there."""
        counts = Counter(result.status for result in self)
        return {status: counts[status] for status in STATUSES}

    @property
    def ran(self) -> int:
        """Return how many checks ran, without those that do not apply or were skipped."""
        return len(self) - self.counts["not_applicable"] - self.counts["skipped"]

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """Failed checks that must hold."""
        return tuple(r for r in self if r.status == "failed" and r.level == "must")

    @property
    def warnings(self) -> tuple[CheckResult, ...]:
        """Failed checks that may fail."""
        return tuple(r for r in self if r.status == "failed" and r.level == "may")

    def raise_for_failures(self) -> None:
        """Raise if a check that must hold failed.

        Raises:
            ConformanceError: It carries the results at fault.
        """
        if self.failures:
            raise ConformanceError(self.failures)

    def summary(self) -> str:
        """Failures, then warnings, each cause told once; then a line with counts."""
        lines: list[str] = []
        told: set[str] = set()
        for result in (*self.failures, *self.warnings):
            if _reason(result) not in told:
                told.add(_reason(result))
                lines += [describe(result), *self._further(result)]
        seconds = sum(result.seconds for result in self)
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
        return "\n".join([*lines, f"{counts} ({seconds:.1f} s)"])

    def _further(self, first: CheckResult) -> list[str]:
        """Count what else fails, or is skipped, for the reason of one result."""
        same = [r for r in self if r is not first and _reason(r) == _reason(first)]
        counts = Counter(result.status for result in same)
        failed, skipped = counts["failed"], counts["skipped"]
        parts = []
        if failed:
            parts.append(f"{failed} further check{' fails' if failed == 1 else 's fail'}")
        if skipped:
            parts.append(f"{skipped} {'is' if skipped == 1 else 'are'} skipped")
        return [f"  {' and '.join(parts)} for the same reason"] if parts else []

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types, with the schema's number, the backend and the counts."""
        return {
            "schema": SCHEMA,
            "backend": keras.backend.backend(),
            "keras": keras.__version__,
            "counts": self.counts,
            "results": [result._asdict() for result in self],
        }


def describe(result: CheckResult) -> str:
    """Describe a failure for people.

    Args:
        result: A result whose status is `failed`.
    """
    word = "FAILED" if result.level == "must" else "warning"
    return f"{word} {result.check} [{result.example}]: {result.message}"


def _reason(result: CheckResult) -> str:
    """Return a key that failures of one cause share: the cause, or else the check."""
    return result.cause or result.check
