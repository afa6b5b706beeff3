"""Checks that many constructors make of their arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dl_techniques.core import (
    Fraction,
    NonNegativeNumber,
    PositiveNumber,
    at_least,
    is_number,
    require_bound,
)


def require_integers(minimum: int = 1, /, **settings: Any) -> None:
    """Refuse settings that are not integers of at least `minimum`.

    Args:
        minimum: The smallest allowed value.
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first that is not.
    """
    at_least(minimum).require(**settings)


def require_pair(minimum: int = 1, /, **setting: Any) -> tuple[int, int]:
    """Height and width from a setting that is one integer for both, or the two.

    Args:
        minimum: The smallest allowed value.
        **setting: One argument of a constructor by its name.

    Raises:
        ValueError: If it is neither, or an integer is too small.
    """
    ((name, value),) = setting.items()
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2:
        raise ValueError(
            f"`{name}` must be one number or (height, width). Received: {name}={value!r}"
        )
    height, width = sides
    require_integers(minimum, **{name: height})
    require_integers(minimum, **{name: width})
    return height, width


def require_positive_numbers(**settings: Any) -> None:
    """Refuse settings that are not finite numbers above zero.

    Args:
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first that is not.
    """
    require_bound(PositiveNumber, **settings)


def require_nonnegative_numbers(**settings: Any) -> None:
    """Refuse settings that are not finite numbers from 0 on.

    Args:
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first that is not.
    """
    require_bound(NonNegativeNumber, **settings)


def require_numbers(**settings: Any) -> None:
    """Refuse settings that are not finite numbers.

    Args:
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first that is not.
    """
    for name, value in settings.items():
        if not is_number(value):
            raise ValueError(f"`{name}` must be a finite number. Received: {name}={value!r}")


def require_seed(seed: Any) -> None:
    """Refuse a seed that is not an integer from 0 on, or `None`.

    Args:
        seed: The seed.

    Raises:
        ValueError: If it is something else.
    """
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
        raise ValueError(f"`seed` must be None or an integer from 0 on. Received: seed={seed!r}")


def require_shares(**settings: Any) -> None:
    """Refuse settings, such as dropout rates, that are not numbers from 0 to 1.

    Args:
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first that is not.
    """
    require_bound(Fraction, **settings)


def require_one_of(choices: Iterable[str], /, **settings: Any) -> None:
    """Refuse settings that are none of the words that are known.

    Args:
        choices: The words.
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first that is not.
    """
    words = tuple(choices)
    for name, value in settings.items():
        if value not in words:
            raise ValueError(
                f"`{name}` must be one of {', '.join(map(repr, words))}. Received: {name}={value!r}"
            )
