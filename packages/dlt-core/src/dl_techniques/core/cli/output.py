"""Output of all commands."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from dl_techniques.core.text import printable

SCHEMA: Final = 1
"""The layout of every `--json` answer; it changes only when a key changes its meaning."""


class UserError(Exception):
    """A mistake of the user's that a command noticed; its text is all that is shown."""


def stdout_diverted() -> contextlib.AbstractContextManager[object]:
    """Send what foreign code prints to standard error, so that it does not mix with the answer."""
    return contextlib.redirect_stdout(sys.stderr)


def say(text: str = "") -> None:
    """Print lines to standard output, without what a terminal would obey.

    Args:
        text: One or more lines; parts of it may come from somebody else's files.
    """
    print("\n".join(printable(line) for line in text.split("\n")))


def complain(text: str) -> None:
    """Print lines to standard error, without what a terminal would obey.

    Args:
        text: One or more lines.
    """
    lines = "\n".join(printable(line) for line in text.split("\n"))
    print(f"dl-techniques: {lines}", file=sys.stderr)


def say_json(**answer: Any) -> None:
    """Print one JSON object with the schema number first.

    Args:
        **answer: The keys of the object.
    """
    print(json.dumps({"schema": SCHEMA, **answer}, indent=2))


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Make the type of an argument that is one of several words, with a hint at the nearest.

    Args:
        choices: The words.
    """

    def parse(text: str) -> str:
        if text in choices:
            return text
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of {', '.join(choices)}.{did_you_mean(text, choices)}"
        )

    return parse


def did_you_mean(text: str, choices: Sequence[str]) -> str:
    """Return a question that names the word most like a text; empty if no word is like it.

    Args:
        text: The typed text.
        choices: The valid words.
    """
    import difflib

    nearest = difflib.get_close_matches(text, choices, n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
