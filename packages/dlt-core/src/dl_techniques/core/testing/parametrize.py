"""Running the kit under pytest, one test a check."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from dl_techniques.core.testing.check import Check
from dl_techniques.core.testing.runner import applicable, examples_of, known_names, run
from dl_techniques.core.testing.subject import Subject

Test = TypeVar("Test", bound=Callable[..., Any])


def parametrize_with_checks(
    components: str | Iterable[Any],
    *,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    strict_documentation: bool = False,
) -> Callable[[Test], Test]:
    """Turn a test function into one test for each component and check.

    Args:
        components: An installed distribution's name (all that it declares), or classes,
            identifiers and `Example`s.
        expected_failures: Identifier -> check -> why it cannot hold, beside what the classes
            declare. Under pytest these are strict expected failures.
        strict_documentation: Whether incomplete documentation is a failure.

    Returns:
        A decorator for a test that takes `component` and `check`, and calls `check()`.

    Raises:
        ValueError: If there is no component, no example or no check.

    Example:
        ```python
        @parametrize_with_checks("acme-gates")
        def test_conformance(component, check):
            check()
        ```
    """
    import pytest

    parameters = []
    for component in _chosen(components):
        examples = examples_of(component)
        subjects = [
            Subject(example, strict_documentation=strict_documentation) for example in examples
        ]
        identifier = subjects[0].id
        reasons = {
            **getattr(examples[0].cls, "expected_failures", {}),
            **(expected_failures or {}).get(identifier, {}),
        }
        known_names(reasons)
        for check in applicable(subjects[0]):
            reason = reasons.get(check.name)
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            call = functools.partial(_check_all, check, subjects)
            name = f"{identifier}-{check.name}"
            parameters.append(pytest.param(identifier, call, id=name, marks=marks))
    if not parameters:
        raise ValueError(f"There is nothing to check. Received: components={components!r}")
    return pytest.mark.parametrize(("component", "check"), parameters)


def _chosen(components: str | Iterable[Any]) -> list[Any]:
    if not isinstance(components, str):
        return list(components)
    from dl_techniques.core.catalog import registry

    return [registry.load(entry.id) for entry in registry.list(distribution=components)]


def _check_all(check: Check, subjects: list[Subject]) -> None:
    """Run one check on every example; what does not apply is no failure, and `may` only warns."""
    import warnings

    import pytest

    applied = False
    for subject in subjects:
        result = run(check, subject)
        applied = applied or result.status != "not_applicable"
        if result.status != "failed":
            continue
        text = f"[{result.example}] {result.check}: {result.message}"
        if result.level == "must":
            raise AssertionError(text)
        warnings.warn(text, ConformanceWarning, stacklevel=2)
    if not applied:
        pytest.skip(f"{check.name} does not apply")


class ConformanceWarning(UserWarning):
    """A check that may fail did."""
