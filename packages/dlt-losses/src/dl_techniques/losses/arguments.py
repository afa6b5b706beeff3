"""Checks of the arguments of losses and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number, which a bool is not.

    Args:
        value: Any object.
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def require_integers(minimum: int = 1, /, **settings: Any) -> None:
    """Refuse settings that are not integers of at least `minimum`.

    Args:
        minimum: The smallest allowed value.
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first that is not.
    """
    for name, value in settings.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise ValueError(
                f"`{name}` must be an integer of at least {minimum}. Received: {name}={value!r}"
            )


def require_positive(**settings: Any) -> None:
    """Refuse settings that are not finite numbers above zero.

    Args:
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first that is not.
    """
    for name, value in settings.items():
        if not is_number(value) or value <= 0:
            raise ValueError(
                f"`{name}` must be a finite number above zero. Received: {name}={value!r}"
            )


def require_nonnegative(**settings: Any) -> None:
    """Refuse settings that are not finite numbers from zero on.

    Args:
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first that is not.
    """
    for name, value in settings.items():
        if not is_number(value) or value < 0:
            raise ValueError(
                f"`{name}` must be a finite number of at least zero. Received: {name}={value!r}"
            )


def require_fractions(**settings: Any) -> None:
    """Refuse settings that are not numbers from 0 to 1.

    Args:
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first that is not.
    """
    for name, value in settings.items():
        if not is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"`{name}` must be a number from 0 to 1. Received: {name}={value!r}")


def require_one_of(choices: Iterable[Any], /, **settings: Any) -> None:
    """Refuse settings that are not one of the choices.

    Args:
        choices: The allowed values.
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first that is not.
    """
    allowed = tuple(choices)
    for name, value in settings.items():
        if not any(value is choice or value == choice for choice in allowed):
            raise ValueError(f"`{name}` must be one of {allowed}. Received: {name}={value!r}")


def first_given(*values: float | None) -> float:
    """Return the first value that is not `None`.

    Args:
        *values: Names of one setting in order, and its default.
    """
    return next(value for value in values if value is not None)
