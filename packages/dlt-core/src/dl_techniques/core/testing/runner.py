"""Running checks and judging their outcomes."""

from __future__ import annotations

import contextlib
import os
import random
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from dl_techniques.core.contract.example import Example
from dl_techniques.core.testing import checks as _checks  # noqa: F401  # fills the table
from dl_techniques.core.testing.causes import cause_of, tidy
from dl_techniques.core.testing.check import CHECKS, Blocked, Check, NotApplicable
from dl_techniques.core.testing.keras_settings import global_settings, restore_settings
from dl_techniques.core.testing.result import CheckResult, Report
from dl_techniques.core.testing.subject import Subject

DOCUMENTATION: Final = ("documentation", "documented_example")
"""The checks that `strict_documentation` raises from `may` to `must`."""
SLOW: Final = ("fresh_process",)
"""The checks that start a process, for which `check_component` waits until others pass."""
SEED: Final = "CONFORMANCE_SEED"
"""The environment variable that changes the weights which checks draw."""


def check_component(
    component: Any,
    *,
    expected_failures: Mapping[str, str] | None = None,
    only: Sequence[str] | None = None,
    strict_documentation: bool = False,
) -> Report:
    """Check all that the contract asks of one component, on each of its examples.

    Args:
        component: A class or function, the identifier of an installed component, or one `Example`.
        expected_failures: Check -> why it cannot hold, beside those that the class declares. An
            expected failure that passes on every example is a failure.
        only: Names of the checks to run; by default all that apply to its kind.
        strict_documentation: Whether incomplete documentation is a failure.

    Returns:
        One result for each check and example.

    Raises:
        ValueError: If there is nothing to check with: no example, no check, or a check that does
            not exist is named.

    Example:
        >>> import keras
        >>> from dl_techniques.core import Example, TensorSpec
        >>> example = Example(keras.layers.Dense, {"units": 2}, TensorSpec((3, 4)))
        >>> check_component(example, only=["gradients_live"])[0].status
        'passed'
    """
    examples = examples_of(component)
    cls = examples[0].cls
    reasons = {**getattr(cls, "expected_failures", {}), **(expected_failures or {})}
    known_names(reasons)
    known_names(only or ())
    results: list[CheckResult] = []
    for example in examples:
        subject = Subject(example, strict_documentation=strict_documentation)
        for check in applicable(subject, only):
            if only is None and check.name in SLOW and Report(results).failures:
                results.append(_postponed(check, subject))
            else:
                results.append(run(check, subject, reasons.get(check.name)))
    report = Report(judged(results, reasons))
    if not (report if only is not None else report.ran):
        raise ValueError(f"No check applies to {cls.__name__}. Received: only={only}")
    return report


def examples_of(component: Any) -> list[Example]:
    """The examples of a component.

    Args:
        component: See `check_component`.

    Raises:
        ValueError: If it is empty.
    """
    if isinstance(component, Example):
        return [component]
    if isinstance(component, str):
        from dl_techniques.core.registry.registry import registry

        component = registry.load(component)
    if not isinstance(component, type) and not hasattr(component, "examples"):
        return [Example(component)]  # a function: what needs no inputs can be checked
    examples = list(getattr(component, "examples", tuple)())
    if not examples:
        raise ValueError(
            f"{component.__name__} yields no `examples()`, so there is nothing to check with. "
            f"Received: component={component!r}"
        )
    return examples


def applicable(subject: Subject, only: Sequence[str] | None = None) -> Iterator[Check]:
    """The checks that apply to the kind of a subject.

    Args:
        subject: The example.
        only: Names to choose from; by default all.
    """
    for check in CHECKS.values():
        fits = not check.kinds or subject.kind in check.kinds
        if fits and (only is None or check.name in only):
            yield check


def run(check: Check, subject: Subject, reason: str | None = None) -> CheckResult:
    """The outcome of one check.

    Args:
        check: The check.
        subject: The example.
        reason: Why it is expected to fail, if it is.
    """
    started = time.perf_counter()
    status, message, cause = "passed", "", ""
    try:
        with _process_kept():
            _seed(check, subject)
            check.function(subject)
    except NotApplicable as answer:
        status, message = "not_applicable", str(answer)
    except KeyboardInterrupt:
        raise
    except Blocked as blocked:
        status = "skipped"
        message, cause = _explained(blocked.error, subject)
    except BaseException as error:  # be it `sys.exit`: it is the component's failure, not the kit's
        status = "failed" if reason is None else "expected_failure"
        message, cause = _explained(error, subject) if reason is None else (reason, "")
    level = check.level
    if check.name in DOCUMENTATION and subject.strict_documentation:
        level = "must"
    seconds = time.perf_counter() - started
    return CheckResult(
        subject.id, subject.example.name, check.name, level, status, message, seconds, cause
    )


def _seed(check: Check, subject: Subject) -> None:
    """Seed what weights are drawn from, so that a failure can be repeated.

    `CONFORMANCE_SEED`, an integer, asks for other weights; by default they are always the same.
    """
    base = int(os.environ.get(SEED, "0"))
    name = f"{subject.id} {subject.example.name} {check.name}"
    random.seed(zlib.crc32(name.encode(), base & 0xFFFFFFFF))
    np.random.seed(random.getrandbits(32))


def _postponed(check: Check, subject: Subject) -> CheckResult:
    message = "it starts a process, and waits until the other checks pass"
    example = subject.example.name
    return CheckResult(subject.id, example, check.name, check.level, "skipped", message, 0.0)


def _explained(error: BaseException, subject: Subject) -> tuple[str, str]:
    """Return the message for people, and the key of the cause."""
    with _process_kept():  # to find a cause is to call the component once more
        cause = cause_of(error, subject)
    if cause is not None:
        return cause.text, cause.key
    return str(error)[:2000] or tidy(error), ""


def known_names(names: Sequence[str] | Mapping[str, str]) -> None:
    """Refuse names of checks that do not exist.

    Args:
        names: The names.

    Raises:
        ValueError: It lists all checks.
    """
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise ValueError(f"There is no check {unknown[0]!r}. The checks are {', '.join(CHECKS)}.")


def judged(results: Sequence[CheckResult], reasons: Mapping[str, str]) -> list[CheckResult]:
    """The results of one component, where an expected failure that never failed is a failure.

    Args:
        results: Of all its examples.
        reasons: Check -> why it is expected to fail on at least one of them.
    """
    final = list(results)
    for name, reason in reasons.items():
        own = [i for i, result in enumerate(final) if result.check == name]
        # A check that does not apply, such as on another backend, or is skipped, cannot fail.
        tried = [i for i in own if final[i].status not in {"not_applicable", "skipped"}]
        if any(final[i].status == "expected_failure" for i in tried):
            continue
        for i in tried:
            message = f"it was expected to fail ({reason}), and does not"
            final[i] = final[i]._replace(status="failed", level="must", message=message)
    return final


@contextlib.contextmanager
def _process_kept() -> Iterator[None]:
    """Checks set global seeds, and components may change what is global: neither may last."""
    python, numpy = random.getstate(), np.random.get_state()
    settings, environment = global_settings(), dict(os.environ)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        restore_settings(settings)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
