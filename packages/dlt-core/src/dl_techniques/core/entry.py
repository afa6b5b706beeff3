"""What discovery hands out: one component as its manifest declares it, one problem."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One listed component, exactly as its distribution's manifest declares it."""

    id: str
    kind: str
    object: str
    """`module:Name`, the only address that is ever imported for this identifier."""
    summary: str
    distribution: str
    version: str
    location: str
    """The manifest file that declares it."""
    tags: tuple[str, ...] = ()
    paper: str | None = None
    aliases: tuple[str, ...] = ()
    since: str | None = None
    deprecated: str | None = None
    unsafe: bool = False
    variants: tuple[str, ...] = ()
    conflict: tuple[str, ...] = ()
    """The other distributions that claim the same identifier or alias; empty when it is unique."""
    contract: int = 1
    """The contract number that its manifest declares."""

    @property
    def namespace(self) -> str:
        """The part of the identifier before the sign."""
        return self.id.partition(">")[0]

    @property
    def name(self) -> str:
        """The bare name: the part of the identifier after the sign."""
        return self.id.partition(">")[2]


class Problem(NamedTuple):
    """One fault that discovery or a plugin ran into; nothing else is affected by it."""

    distribution: str
    stage: str
    """Where it happened: `discovery`, `manifest`, `conflict`, `import`, `plugin`, `hook`."""
    message: str
    location: str | None = None
    """The file or entry point at fault."""

    def __str__(self) -> str:
        where = f" [{self.location}]" if self.location else ""
        return f"{self.distribution}: {self.stage}: {self.message}{where}"
