"""Select the weights to analyse: globs, regular expressions, callables, or lists of these."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import Any

from dl_techniques.weightwatcher.readers.weight import Weight

Chooser = Callable[[Weight], bool]


def chooser(pattern: Any, argument: str) -> Chooser:
    """A function that says whether a weight is meant.

    Args:
        pattern: A glob (`encoder.*`), text that begins with `re:`, a compiled regular
            expression, a function of a `Weight`, or a list of these. Globs and expressions are
            compared with the path, the layer's name and the class of the layer.
        argument: Name of the caller's argument, for messages.

    Raises:
        ValueError: If a regular expression is malformed.
        TypeError: If it is none of these.
    """
    if isinstance(pattern, str):
        if pattern.startswith("re:"):
            try:
                return chooser(re.compile(pattern[3:]), argument)
            except re.error as error:
                raise ValueError(f"`{argument}`: {error}. Received: {pattern!r}") from error
        return lambda weight: any(fnmatch.fnmatchcase(text, pattern) for text in _texts(weight))
    if isinstance(pattern, re.Pattern):
        return lambda weight: any(pattern.search(text) for text in _texts(weight))
    if isinstance(pattern, list | tuple | set | frozenset):
        choosers = [chooser(item, argument) for item in pattern]
        return lambda weight: any(choose(weight) for choose in choosers)
    if callable(pattern):
        return lambda weight: bool(pattern(weight))
    raise TypeError(
        f"`{argument}` must be a glob, a regular expression, a function of a weight or a list of "
        f"these. Received: {argument}={pattern!r}"
    )


def _texts(weight: Weight) -> tuple[str, str, str]:
    return weight.path, weight.layer, weight.kind
