"""Importing one object of somebody else's package."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

_lock = threading.Lock()
_users = 0
_original: TextIO | None = None


def import_object(address: str) -> Any:
    """Import `module:Name` (or a module) and nothing else.

    What the module prints while it is imported goes to standard error: standard output may be
    somebody's JSON. The caller decides what an exception means, be it `SystemExit` or of a class
    that the module derives from `BaseException`.

    Args:
        address: `module`, `module:Name` or `module:Outer.Inner`.
    """
    module, _, qualname = address.partition(":")
    with stdout_diverted():
        target: Any = importlib.import_module(module)
        for name in qualname.split(".") if qualname else ():
            target = getattr(target, name)
    return target


@contextlib.contextmanager
def stdout_diverted() -> Iterator[None]:
    """Send what is printed to standard error; nested and concurrent uses restore it once."""
    # `contextlib.redirect_stdout` restores what it found, so that two threads which overlap
    # leave the process without its standard output. Counting the users avoids that, and holds
    # no lock while foreign code runs.
    global _users, _original  # noqa: PLW0603  # standard output is itself one of the process
    with _lock:
        if not _users:
            _original = sys.stdout
            sys.stdout = sys.stderr
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and _original is not None:
                sys.stdout = _original
                _original = None
