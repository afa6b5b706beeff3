"""Report about each tensor of a file and each variable of a model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple


class Match(NamedTuple):
    """One tensor, or several, and the variables that they fill."""

    keys: tuple[str, ...]
    code: str
    variables: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    """Of the variables."""


@dataclass
class Report:
    """The account of one load or export.

    Args:
        layout: The name of the layout.
        rules: The hash of its rules.
        source: The file.
        matches: The matched tensors.
        missing: Variables that nothing fills, and keys that a rule needs.
        unexpected: Keys that no rule takes.
        mismatched: Tensors that do not fit, with the reason.
        ignored: Keys that the layout leaves out.
        skipped: Keys and variables that the caller left out.
        casts: Keys whose dtype is not their variable's.
    """

    layout: str
    rules: str
    source: str = ""
    matches: list[Match] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    casts: dict[str, str] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Return whether every key and every variable is accounted for."""
        return not (self.missing or self.unexpected or self.mismatched)

    def to_json(self) -> dict[str, Any]:
        """The account, of types that JSON has."""
        return {**asdict(self), "matches": [match._asdict() for match in self.matches]}

    def to_text(self) -> str:
        """One line a match: key, code, variable, shape; then what did not fit."""
        lines = [
            f"{' + '.join(m.keys)}  {m.code}  {', '.join(m.variables)}  "
            + ", ".join("x".join(map(str, shape)) or "scalar" for shape in m.shapes)
            for m in self.matches
        ]
        return "\n".join([*lines, *self.faults()])

    def faults(self) -> list[str]:
        """Return the tensors that do not fit, one line each."""
        return [
            *(f"missing: {name}" for name in self.missing),
            *(f"unexpected: {name}" for name in self.unexpected),
            *(f"mismatched: {text}" for text in self.mismatched),
        ]

    def __str__(self) -> str:
        return json.dumps(self.to_json(), indent=1)
