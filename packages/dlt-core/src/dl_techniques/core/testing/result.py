"""What a run of the kit found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import keras

SCHEMA: Final = 1
"""Counted up whenever `Report.to_json` changes its keys or their meaning."""

STATUSES: Final = ("passed", "failed", "expected_failure", "not_applicable")


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
    """Why it failed, was expected to, or does not apply."""
    seconds: float


class ConformanceError(AssertionError):
    """At least one check that must hold failed.

    Args:
        failures: The results at fault.
    """

    def __init__(self, failures: Sequence[CheckResult]) -> None:
        self.failures = tuple(failures)
        lines = [f"{r.component} [{r.example}] {r.check}: {r.message}" for r in self.failures]
        super().__init__(f"{len(lines)} checks failed:\n" + "\n".join(lines))


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
        """How many results have each status; all four are there."""
        counts = Counter(result.status for result in self)
        return {status: counts[status] for status in STATUSES}

    @property
    def ran(self) -> int:
        """How many checks were carried out; what does not apply does not count."""
        return len(self) - self.counts["not_applicable"]

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
        """One line with counts, then a line for each failure and warning."""
        seconds = sum(result.seconds for result in self)
        head = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
        lines = [f"{head} ({seconds:.1f} s)"]
        for result in self:
            if result.status == "failed":
                word = "FAILED" if result.level == "must" else "warning"
                lines.append(f"  {word} {result.check} [{result.example}]: {result.message}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types, with the schema's number, the backend and the counts."""
        return {
            "schema": SCHEMA,
            "backend": keras.backend.backend(),
            "keras": keras.__version__,
            "counts": self.counts,
            "results": [result._asdict() for result in self],
        }
