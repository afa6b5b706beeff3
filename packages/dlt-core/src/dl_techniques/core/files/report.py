"""Report what a model file holds and needs, without loading it. Imports no Keras."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from dl_techniques.core.errors import DLTechniquesError, ModelFileError
from dl_techniques.core.files.archive import Archive, Member
from dl_techniques.core.files.check import Checked, check, check_suffix, private_folder
from dl_techniques.core.files.config_walk import Audit
from dl_techniques.core.files.known_components import installed
from dl_techniques.core.files.limits import LIMITS, Limits
from dl_techniques.core.files.options import Options
from dl_techniques.core.files.provenance import Origin, Provenance
from dl_techniques.core.files.weights import Weight


class Need(NamedTuple):
    """One component or built-in that a model file names."""

    name: str
    """The identifier as the file has it, or `module.Name` of one of Keras's own."""
    times: int
    """How often."""
    location: str
    """Where first."""
    id: str | None = None
    """The identifier today; differs from `name` if that is an alias. `None` for built-ins."""
    kind: str | None = None
    distribution: str | None = None
    """What provides it here; `keras` for built-ins, `None` if nothing does."""
    version: str | None = None
    """The installed version of that."""
    recorded: Origin | None = None
    """What the file says provided it: untrusted text."""


class ModelReport(NamedTuple):
    """The result of `inspect_model`."""

    path: str
    size: int
    """Bytes of the file."""
    keras_version: str | None
    """The Keras that wrote it, by its own account."""
    members: tuple[Member, ...]
    digests: dict[str, str]
    """Member -> its sha256."""
    needs: tuple[Need, ...]
    """Components first, then built-ins, each sorted by name."""
    weights: tuple[Weight, ...]
    provenance: Provenance | None
    """What the file says of its origin, if `save_model` wrote it: untrusted text."""
    unsafe: tuple[str, ...]
    """What in it can run code of the file's choosing."""
    problems: tuple[DLTechniquesError, ...]

    @property
    def loadable(self) -> bool:
        """Return whether `load_model` would hand it to Keras."""
        return not self.problems

    @property
    def parameters(self) -> int:
        """Return how many numbers the weights hold, those of the optimizer and metrics included."""
        return sum(weight.size for weight in self.weights)


def inspect_model(
    path: str | os.PathLike[str], *, finite: bool = True, limits: Limits = LIMITS
) -> ModelReport:
    """Check a model file as `load_model` does, without loading it.

    Neither Keras nor the code of any component is imported.

    Args:
        path: The `.keras` file.
        finite: Whether NaN and infinity in the weights are a problem.
        limits: The bounds under which it is read.

    Returns:
        What it holds and needs. Nothing is raised for a bad file: see `problems`.
    """
    target = Path(path)
    size = target.stat().st_size if target.is_file() else 0
    members: tuple[Member, ...] = ()
    digests: dict[str, str] = {}
    found = Checked({}, Audit((), (), frozenset(), (), ()), (), "", None, None, ())
    try:
        check_suffix(target)
        with Archive(target, limits=limits) as archive, private_folder() as folder:
            members, digests = archive.members, archive.digests
            found = check(archive, Path(folder), installed(), Options(finite=finite))
    except ModelFileError as error:
        found = found._replace(problems=(error,))
    return ModelReport(
        str(target),
        size,
        found.keras_version or None,
        members,
        digests,
        tuple(_needs(found)),
        found.weights,
        found.provenance,
        found.audit.unsafe,
        found.problems,
    )


def _needs(found: Checked) -> list[Need]:
    recorded = found.provenance.components if found.provenance else {}
    uses: dict[str, Need] = {}
    counts = Counter(use.id for use in found.audit.uses)
    for use in found.audit.uses:
        entry = use.entry
        uses.setdefault(
            use.id,
            Need(
                use.id,
                counts[use.id],
                use.location,
                entry.id if entry else None,
                entry.kind if entry else None,
                entry.distribution if entry else None,
                entry.version if entry else None,
                recorded.get(use.id),
            ),
        )
    own: dict[str, Need] = {}
    counts = Counter(item.name for item in found.audit.builtins)
    for item in found.audit.builtins:
        need = Need(item.name, counts[item.name], item.location, distribution="keras")
        own.setdefault(item.name, need)
    return [*(uses[name] for name in sorted(uses)), *(own[name] for name in sorted(own))]
