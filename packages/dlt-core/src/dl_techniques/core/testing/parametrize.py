"""Running the kit under pytest, one test a check."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

from dl_techniques.core.testing.check import Check
from dl_techniques.core.testing.runner import applicable, examples_of, judged, known_names, run
from dl_techniques.core.testing.subject import Subject

Test = TypeVar("Test", bound=Callable[..., Any])


def parametrize_with_checks(
    components: str | Iterable[Any],
    *,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    strict_documentation: bool = False,
    examples: Literal["all", "first"] = "all",
) -> Callable[[Test], Test]:
    """Turn a test function into one test for each component and check.

    Args:
        components: An installed distribution's name (all that it declares), or classes,
            identifiers and `Example`s.
        expected_failures: Identifier -> check -> why it cannot hold, beside what the classes
            declare. Under pytest these are expected failures, and strict: one that passes fails.
        strict_documentation: Whether incomplete documentation is a failure.
        examples: `"first"` checks each component on its first example alone, in a fraction of the
            time: for stacks beside the one that checks all.

    Returns:
        A decorator for a test that takes `component` and `check`, and calls `check()`. A check
        that may fail gives a `ConformanceWarning`, which fails the test only where the suite
        turns warnings into errors. A component that cannot be loaded or has no examples is one
        test, `...-examples`, that fails.

    Raises:
        ValueError: If there is no component, a check or component is named that does not exist, or
            `examples` is neither.

    Example:
        ```python
        @parametrize_with_checks("acme-gates")
        def test_conformance(component, check):
            check()
        ```
    """
    import pytest

    if examples not in {"all", "first"}:
        raise ValueError(f'`examples` must be "all" or "first". Received: examples={examples!r}')
    expected = dict(expected_failures or {})
    parameters = []
    for component in _chosen(components):
        try:
            found = examples_of(component)
        except Exception as error:  # the other components have a right to their tests
            name = getattr(component, "__name__", str(component))
            call = functools.partial(_fail, f"{type(error).__name__}: {error}")
            parameters.append(pytest.param(name, call, id=f"{name}-examples"))
            continue
        subjects = [
            Subject(example, strict_documentation=strict_documentation)
            for example in (found if examples == "all" else found[:1])
        ]
        identifier = subjects[0].id
        reasons = {
            **getattr(found[0].cls, "expected_failures", {}),
            **expected.pop(identifier, {}),
        }
        known_names(reasons)
        for check in applicable(subjects[0]):
            whole = len(subjects) == len(found)
            call = functools.partial(_check_all, check, subjects, reasons.get(check.name), whole)
            parameters.append(pytest.param(identifier, call, id=f"{identifier}-{check.name}"))
    if not parameters:
        raise ValueError(f"There is nothing to check. Received: components={components!r}")
    if expected:
        raise ValueError(f"`expected_failures` names no component that is checked: {[*expected]}")
    return pytest.mark.parametrize(("component", "check"), parameters)


def _chosen(components: str | Iterable[Any]) -> list[Any]:
    if not isinstance(components, str):
        return list(components)
    from dl_techniques.core.registry.registry import registry

    return [entry.id for entry in registry.list(distribution=components)]


def _fail(text: str) -> None:
    raise AssertionError(text)


def _check_all(check: Check, subjects: list[Subject], reason: str | None, whole: bool) -> None:
    """Run one check on the examples; what does not apply is no failure, and `may` only warns.

    An expected failure must fail on one of all examples, which need not be the first.
    """
    import warnings

    import pytest

    reasons = {check.name: reason} if whole and reason is not None else {}
    results = judged([run(check, subject, reason) for subject in subjects], reasons)
    failed = [result for result in results if result.status == "failed"]
    must = [result for result in failed if result.level == "must"]
    text = "\n".join(f"[{result.example}] {result.check}: {result.message}" for result in failed)
    if must:
        raise AssertionError(text)
    if failed:
        warnings.warn(text, ConformanceWarning, stacklevel=2)
    statuses = {result.status for result in results}
    if "expected_failure" in statuses:
        pytest.xfail(reason or "")
    if statuses <= {"not_applicable", "skipped"}:
        pytest.skip("; ".join(sorted({result.message for result in results})))


class ConformanceWarning(UserWarning):
    """A check that may fail did."""
