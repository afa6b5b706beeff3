"""Bounds of arguments, which stand beside their types and are checked before a constructor runs.

    def __init__(self, units: Count, mode: Literal["max", "mean"] = "max", **kwargs): ...

A `Literal` is a bound as well; `Count | None` also lets None pass. The conformance kit tries a
value beyond each bound, so that no component has to declare it.
"""

from __future__ import annotations

import inspect
import math
import sys
import types
import typing
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias


@dataclass(frozen=True)
class Bound:
    """A condition that an argument must meet.

    Args:
        text: The condition in words, after "must be".
        holds: Whether a value meets it.
        beyond: A value that does not, which the conformance kit tries.
    """

    text: str
    holds: Callable[[Any], bool]
    beyond: Any

    def require(self, **settings: Any) -> None:
        """Refuse values that do not meet the condition.

        Args:
            **settings: Arguments of a constructor by their names.

        Raises:
            ValueError: Naming the first that does not.
        """
        for name, value in settings.items():
            if not self.holds(value):
                raise ValueError(f"`{name}` must be {self.text}. Received: {name}={value!r}")


def at_least(minimum: int) -> Bound:
    """The bound of integers that are not smaller than a minimum.

    Args:
        minimum: The smallest allowed value.
    """

    def holds(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= minimum

    return Bound(f"an integer of at least {minimum}", holds, minimum - 1)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite integer or float.

    Args:
        value: The argument.
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


Count: TypeAlias = Annotated[int, at_least(1)]
"""An integer of at least 1."""
Whole: TypeAlias = Annotated[int, at_least(0)]
"""An integer of at least 0."""
Fraction: TypeAlias = Annotated[
    float, Bound("a number from 0 to 1", lambda v: is_number(v) and 0 <= v <= 1, 1.5)
]
"""A number from 0 to 1, such as a dropout rate."""
PositiveNumber: TypeAlias = Annotated[
    float, Bound("a finite number above zero", lambda v: is_number(v) and v > 0, 0.0)
]
"""A finite number above zero."""
NonNegativeNumber: TypeAlias = Annotated[
    float, Bound("a finite number from 0 on", lambda v: is_number(v) and v >= 0, -1.0)
]
"""A finite number from 0 on."""


def require_bound(kind: Any, /, **settings: Any) -> None:
    """Refuse values beyond the bound of a type, for what no annotation can say.

    Args:
        kind: A type with a bound, such as `Fraction`.
        **settings: Arguments of a constructor by their names.

    Raises:
        ValueError: Naming the first value that is beyond it.

    Example:
        >>> require_bound(Fraction, first=0.1, second=1.5)
        Traceback (most recent call last):
        ValueError: `second` must be a number from 0 to 1. Received: second=1.5
    """
    bound: Bound = kind.__metadata__[0]
    bound.require(**settings)


_known: weakref.WeakKeyDictionary[type, Mapping[str, Bound]] = weakref.WeakKeyDictionary()


def bounds_of(cls: type) -> Mapping[str, Bound]:
    """The bounds of a constructor's parameters, those of its bases included.

    Args:
        cls: A class.

    Example:
        >>> class Layer:
        ...     def __init__(self, units: Count, rate: Fraction = 0.0) -> None: ...
        >>> {name: bound.text for name, bound in bounds_of(Layer).items()}
        {'units': 'an integer of at least 1', 'rate': 'a number from 0 to 1'}
    """
    if cls not in _known:
        found: dict[str, Bound] = {}
        for base in cls.__mro__:
            constructor = vars(base).get("__init__")
            if inspect.isfunction(constructor) and base.__module__.partition(".")[0] != "keras":
                for name, annotation in inspect.get_annotations(constructor).items():
                    bound = _bound_in(annotation, base.__module__)
                    if bound is not None:
                        found.setdefault(name, bound)
        _known[cls] = found
    return _known[cls]


def require_bounds(cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments of a constructor that are beyond their bounds.

    Args:
        cls: The class.
        args: The positional arguments.
        kwargs: The arguments by name.

    Raises:
        ValueError: Naming the first that is.
    """
    bounds = bounds_of(cls)
    if not bounds:
        return
    given = dict(kwargs)
    if args:
        names = list(inspect.signature(vars(_owner(cls))["__init__"]).parameters)[1:]
        given |= dict(zip(names, args, strict=False))
    for name, bound in bounds.items():
        if name in given:
            bound.require(**{name: given[name]})


def _owner(cls: type) -> type:
    """The class whose constructor is called."""
    return next(base for base in cls.__mro__ if "__init__" in vars(base))


def _bound_in(annotation: Any, module: str) -> Bound | None:
    """The bound that an annotation states: its own, or the words of a `Literal`."""
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, vars(sys.modules[module]))  # noqa: S307  # source code
        except Exception:  # a name that only type checkers know
            return None
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return next((item for item in arguments[1:] if isinstance(item, Bound)), None)
    if origin is Literal:
        return _word_of(arguments)
    if origin in {typing.Union, types.UnionType} and len(arguments) == 2:
        *rest, last = arguments
        if last is types.NoneType:
            bound = _bound_in(rest[0], module)
            return None if bound is None else _optional(bound)
    return None


def _word_of(words: tuple[Any, ...]) -> Bound:
    def holds(value: Any) -> bool:
        return any(type(value) is type(word) and value == word for word in words)

    return Bound(f"one of {', '.join(map(repr, words))}", holds, "no such word")


def _optional(bound: Bound) -> Bound:
    def holds(value: Any) -> bool:
        return value is None or bound.holds(value)

    return Bound(f"{bound.text}, or None", holds, bound.beyond)
