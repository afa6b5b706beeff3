"""Component identifiers (`namespace>Name`) and kinds."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

KINDS: Final = (
    "layer",
    "activation",
    "initializer",
    "regularizer",
    "constraint",
    "loss",
    "metric",
    "model",
    "optimizer",
    "schedule",
    "callback",
    "function",
    "dataset",
    "analyzer",
)

FIRST_PARTY_NAMESPACE: Final = "dl_techniques"

# Keras itself writes plain names for its built-ins and `Custom>` for undeclared classes.
RESERVED_NAMESPACES: Final = frozenset({"keras", "builtins", "Custom", "numpy"})

_NAMESPACE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class Identifier(NamedTuple):
    """The two halves of `namespace>Name`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}>{self.name}"


def parse_identifier(text: object) -> Identifier:
    """Split `namespace>Name` into its halves.

    Args:
        text: The identifier.

    Returns:
        Both halves.

    Raises:
        ValueError: If the text is not an identifier or its namespace is reserved.

    Example:
        >>> parse_identifier("acme>Gate").namespace
        'acme'
    """
    namespace, separator, name = text.partition(">") if isinstance(text, str) else ("", "", "")
    if not (separator and _NAMESPACE.fullmatch(namespace) and _NAME.fullmatch(name)):
        raise ValueError(
            "A component identifier must read `namespace>Name` with a Python name after the "
            f"sign. Received: id={text!r}"
        )
    if namespace in RESERVED_NAMESPACES:
        raise ValueError(f"The namespace {namespace!r} is reserved. Received: id={text!r}")
    return Identifier(namespace, name)
