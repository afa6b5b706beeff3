"""Untrusted text and numbers, as one line that is safe to show."""

from __future__ import annotations

import re
from typing import Any, Final

# Control characters, line separators, text-direction marks and lone surrogates: none of them
# belongs into one line of text, and each can falsify what a terminal or a page shows.
UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def short_repr(value: Any, length: int = 80) -> str:
    """Untrusted data as one short line of printable ASCII.

    Args:
        value: Anything that came from a file.
        length: Longest answer.
    """
    if isinstance(value, str):
        value = value[: length + 1]
    elif isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)} items"
    elif isinstance(value, int) and value.bit_length() > 64 * 3:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= length else f"{text[: length - 4]}...{text[-1]}"


def size_text(count: int) -> str:
    """A number of bytes for people.

    Example:
        >>> size_text(3 * 2**20)
        '3.0 MiB'
    """
    if count >> 70:
        return "more than 1024 EiB"
    exponent = min(max(count.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    if not exponent:
        return f"{count} bytes"
    # In tenths and in integers: what a file declares may be too large for a float.
    tenths = (10 * count) >> (10 * exponent)
    return f"{tenths // 10}.{tenths % 10} {_UNITS[exponent]}"


_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def printable(text: str) -> str:
    """Text from somebody else's files, without what a terminal or a page would obey.

    Args:
        text: Anything.
    """
    return UNPRINTABLE.sub("?", text) if UNPRINTABLE.search(text) else text


def describe_error(error: BaseException) -> str:
    """An exception as one line of text, also where its own `__str__` fails."""
    try:
        text = " ".join(str(error).split())
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # the text of a foreign exception is foreign code, too
        text = f"(its text cannot be shown: {type(failure).__name__})"
    name = type(error).__name__
    text = text if len(text) <= 500 else f"{text[:497]}..."
    return f"{name}: {text}" if text else name
