"""Every exception that the core raises on purpose, under one base.

An error carries the objects it speaks of (the identifier, the distribution, the problems), so
that a program can act on them; the text is made from these and is for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dl_techniques.core.entry import Entry, Problem


class DLTechniquesError(Exception):
    """Base of all errors of the ecosystem: `except DLTechniquesError` catches every refusal."""


class ComponentError(DLTechniquesError):
    """An error about one component.

    Args:
        message: The fault and the remedy.
        id: The identifier that was asked for.
        distribution: The distribution that provides it, where one is known.
    """

    def __init__(self, message: str, *, id: str, distribution: str | None = None) -> None:
        super().__init__(message)
        self.id = id
        self.distribution = distribution


class UnknownComponent(ComponentError, LookupError):
    """No installed distribution declares the identifier.

    Args:
        message: The request and the remedy.
        id: The identifier that was asked for.
        nearest: The identifiers that resemble it most, best first.
        distribution: The first-party distribution that would bring it, if there is one.
        problems: Problems of discovery: the component may hide behind one of these.
    """

    def __init__(
        self,
        message: str,
        *,
        id: str,
        nearest: Sequence[str] = (),
        distribution: str | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message, id=id, distribution=distribution)
        self.nearest = tuple(nearest)
        self.problems = tuple(problems)


class AmbiguousComponent(ComponentError, LookupError):
    """Several components answer to the name, and nothing is decided by order.

    Args:
        message: The name and all its claimants.
        id: The identifier or bare name that was asked for.
        candidates: The entries that answer to it.
    """

    def __init__(self, message: str, *, id: str, candidates: Sequence[Entry]) -> None:
        super().__init__(message, id=id)
        self.candidates = tuple(candidates)


class ComponentImportError(ComponentError, ImportError):
    """The module of a listed component failed while it was imported; the cause is chained."""


class ContractMismatch(ComponentError):
    """The imported object contradicts its manifest, or this core does not speak its contract."""


class UntrustedComponent(ComponentError):
    """The component may run code of the file's choosing, and the caller did not opt in."""


class DuplicateComponent(ComponentError):
    """A second, different object was declared under an identifier that is taken."""


class RegistryProblems(DLTechniquesError):
    """Discovery met problems, and `DL_TECHNIQUES_STRICT` asks to raise them.

    Args:
        problems: All of them.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{len(self.problems)} problem(s) in installed distributions:\n{lines}")


class ModelFileError(DLTechniquesError):
    """A model file was refused. No code of the file's choosing has run.

    Args:
        message: The fault of the file.
        path: The file.
        member: The member of the archive (`config.json`, `model.weights.h5`), if it is one.
        location: The path inside the member, such as `config.layers[2]`.
        distribution: The distribution that provides the component spoken of, if there is one.
        hint: The remedy.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str,
        member: str | None = None,
        location: str | None = None,
        distribution: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.path = path
        self.member = member
        self.location = location
        self.distribution = distribution
        self.hint = hint
        super().__init__(self._text())

    def _text(self) -> str:
        where = self.path
        if self.member:
            where += f"::{self.member}"
        if self.location:
            where += f" at {self.location}"
        provider = f" (provided by {self.distribution})" if self.distribution else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{where}: {self.message}{provider}{hint}"


class ModelFileProblems(ModelFileError):
    """All findings about one file at once.

    Args:
        path: The file.
        problems: Each finding as an error of its own, in the order of the file.
    """

    def __init__(self, path: str, problems: Sequence[DLTechniquesError]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        count = len(self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''}:\n{lines}", path=path)
