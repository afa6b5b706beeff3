"""One weight of a model, as a reader hands it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from dl_techniques.weights.errors import UnreadableFile
from dl_techniques.weightwatcher.readers.values import Values

Layout = Literal["keras", "torch", "unknown"]


@dataclass(frozen=True)
class Weight:
    """One weight tensor.

    Args:
        path: Its unique name, such as `encoder/att/query/kernel`.
        values: Where its numbers are.
        layer: The name of the layer that owns it.
        kind: The class of that layer, empty where nothing says it.
        layout: Whose order the axes have: `keras` (taps, in, out) or `torch` (out, in, taps).
        facts: Further facts of the layer: `equation`, `groups`, `architecture`.
        note: Remark for its rows.
    """

    path: str
    values: Values
    layer: str = ""
    kind: str = ""
    layout: Layout = "unknown"
    facts: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def variable(self) -> str:
        """The last part of the path: what the weight is called in its layer."""
        return self.path.replace(".", "/").rpartition("/")[2]


class Skipped(NamedTuple):
    """A tensor that was not analysed, and why."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    reason: str


class Source(NamedTuple):
    """All weights of one model."""

    label: str
    """What to call the model: the file's name, or the model's."""
    weights: list[Weight]
    skipped: list[Skipped]
    """What the reader itself left out."""


SourceError = UnreadableFile
"""The source is not a model, or a file that cannot be read."""
