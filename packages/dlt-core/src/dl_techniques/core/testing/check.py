"""Conformance checks and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from dl_techniques.core.testing.subject import Subject

LAYERS: Final = ("layer", "activation", "model")
ANY: Final = ()


class NotApplicable(Exception):  # noqa: N818  # no error: an answer of a check, like a skip
    """Raised by a check that says nothing about this subject; its text is the reason."""


class Blocked(Exception):  # noqa: N818  # no error of its own: a step before it failed
    """Raised where a check needs a step that has failed already.

    Args:
        error: The exception of that step.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Check(NamedTuple):
    """One property that a component must or may have."""

    name: str
    level: str
    """`must`: a failure is a failure of the component; `may`: it is shown and counted."""
    kinds: tuple[str, ...]
    """The kinds that it applies to; empty for all."""
    summary: str
    function: Callable[[Subject], None]


CHECKS: Final[dict[str, Check]] = {}
"""Every check by name, cheap ones first."""


def check(
    level: str = "must", kinds: tuple[str, ...] = LAYERS
) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Enter a function into the table under its own name; its docstring states the property.

    Args:
        level: `must` or `may`.
        kinds: The kinds that it applies to; empty for all.
    """

    def enter(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        name = function.__name__
        assert name not in CHECKS, f"two checks are named {name}"
        CHECKS[name] = Check(name, level, kinds, summary, function)
        return function

    return enter


def require(condition: object, message: str) -> None:
    """Fail the running check unless the condition holds.

    Args:
        condition: The claim that must be true.
        message: The expected and the received value.
    """
    if not condition:
        raise AssertionError(message)
