"""JSON from strangers: bounded before it is parsed, and with one meaning only."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

from dl_techniques.core.text import short_repr

# Possessive, so that an unterminated string fails at once; a lone quote is that failure.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},:]', re.DOTALL)
_OPEN: Final = frozenset({b"[", b"{"})
_CLOSE: Final = frozenset({b"]", b"}"})
_OTHER: Final = frozenset({b",", b":"})
_LONGEST_NUMBER: Final = 64


class StrictJSONError(ValueError):
    """The text is not JSON of the strict kind, or exceeds a bound."""


def parse(data: bytes, *, tokens: int, depth: int) -> Any:
    """Parse UTF-8 JSON without repeated keys, infinities or unbounded cost.

    The parser of the standard library recurses, keeps the last of two equal keys (a scanner that
    keeps the first sees another document) and reads `NaN`; here all of that is refused.

    Args:
        data: The bytes.
        tokens: Most brackets, commas and colons.
        depth: Deepest nesting.

    Raises:
        StrictJSONError: If it is malformed, ambiguous or beyond a bound.

    Example:
        >>> parse(b'{"a": [1]}', tokens=10, depth=2)
        {'a': [1]}
    """
    _bound(data, tokens, depth)
    try:
        return loads(data)
    except UnicodeDecodeError as error:
        raise StrictJSONError(f"is not UTF-8: {error.reason} at {error.start}") from error


def loads(data: bytes) -> Any:
    """Parse UTF-8 JSON without repeated keys and infinities; its size is the caller's concern.

    Args:
        data: The bytes.

    Raises:
        StrictJSONError: If it is malformed or ambiguous.
        UnicodeDecodeError: If it is not UTF-8.
    """
    text = data.decode("utf-8")
    try:
        return json.loads(
            text,
            object_pairs_hook=_distinct,
            parse_constant=_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except RecursionError as error:
        raise StrictJSONError("is not valid JSON: nested too deeply") from error
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"is not valid JSON: {short_repr(str(error), 120)}") from error


def _bound(data: bytes, tokens: int, depth: int) -> None:
    level = count = 0
    for match in _TOKEN.finditer(data):
        token = match.group()
        if token in _OPEN:
            level += 1
        elif token in _CLOSE:
            level -= 1
        elif token not in _OTHER:
            if len(token) == 1:
                raise StrictJSONError("holds a string that does not end")
            continue
        count += 1
        if level > depth:
            raise StrictJSONError(f"is nested deeper than {depth} levels")
        if count > tokens:
            raise StrictJSONError(f"holds more than {tokens} brackets, commas and colons")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise StrictJSONError(f"holds the key {short_repr(key)} twice in one object")
            seen.add(key)
    return result


def _constant(text: str) -> NoReturn:
    raise StrictJSONError(f"holds {text}, which is not JSON")


def _finite(text: str) -> float:
    value = float(text) if len(text) <= _LONGEST_NUMBER else math.inf
    if not math.isfinite(value):
        raise StrictJSONError(f"holds the number {short_repr(text)}, which no float can hold")
    return value


def _integer(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise StrictJSONError(f"holds an integer of {len(text)} digits")
    return int(text)
