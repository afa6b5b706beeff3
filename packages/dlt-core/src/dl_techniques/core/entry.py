"""The data that discovery returns: a component as its manifest declares it, and a problem."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from dl_techniques.core.text import describe_error


class Entry(NamedTuple):
    """One listed component, exactly as its distribution's manifest declares it."""

    id: str
    kind: str
    object: str
    """`module:Name`, the only address that is ever imported for this identifier."""
    summary: str
    distribution: str = ""
    version: str = ""
    location: str = ""
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


@contextmanager
def guarded(
    problems: list[Problem],
    distribution: str,
    stage: str,
    location: str | None = None,
    prefix: str = "",
) -> Iterator[None]:
    """Turn an exception of foreign code into a problem; only Ctrl-C passes.

    Args:
        problems: The list that receives the problem.
        distribution: The distribution that provides the code.
        stage: See `Problem.stage`.
        location: See `Problem.location`.
        prefix: Text before the description of the exception.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # foreign code may raise anything, `SystemExit` too
        problems.append(Problem(distribution, stage, prefix + describe_error(error), location))
