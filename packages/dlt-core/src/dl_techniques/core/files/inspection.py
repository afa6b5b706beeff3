"""What a model file holds and needs, and whether it may be loaded. Imports no Keras."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final, NamedTuple

from dl_techniques.core.errors import DLTechniquesError, ModelFileError, ModelFileProblems
from dl_techniques.core.files import graph as graphs
from dl_techniques.core.files import keras_versions as compatibility
from dl_techniques.core.files import memory as footprint
from dl_techniques.core.files import provenance
from dl_techniques.core.files.archive import (
    ASSETS,
    CONFIG,
    METADATA,
    PROVENANCE,
    SUFFIX,
    WEIGHTS,
    Archive,
    Member,
)
from dl_techniques.core.files.config_walk import Audit, audit
from dl_techniques.core.files.keras_builtins import READS_VOCABULARY
from dl_techniques.core.files.known_components import Lookup, installed
from dl_techniques.core.files.limits import LIMITS, Limits
from dl_techniques.core.files.provenance import Origin, Provenance
from dl_techniques.core.files.weights import Weight, read_weights
from dl_techniques.core.text import short_repr, size_text

_VERSION: Final = re.compile(r"\d+(\.\d+){1,3}[A-Za-z0-9.+-]{0,24}")
_NO_AUDIT: Final = Audit((), (), frozenset(), (), ())


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
    """What `inspect_model` found."""

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
        """Whether `load_model` would hand it to Keras."""
        return not self.problems

    @property
    def parameters(self) -> int:
        """How many numbers the weights hold, those of the optimizer and metrics included."""
        return sum(weight.size for weight in self.weights)


class Examination(NamedTuple):
    """A model file that was looked through, with all that `load_model` goes on with."""

    config: dict[str, Any]
    audit: Audit
    weights: tuple[Weight, ...] = ()
    keras_version: str | None = None
    provenance: Provenance | None = None
    suspicious: bool = False
    """Whether the configuration may ask for far more memory than the weights justify."""
    problems: tuple[ModelFileError, ...] = ()


def inspect_model(
    path: str | os.PathLike[str], *, finite: bool = True, limits: Limits = LIMITS
) -> ModelReport:
    """Look through a model file as `load_model` does, without loading it.

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
    found = Examination({}, _NO_AUDIT)
    try:
        check_suffix(target)
        with Archive(target, limits=limits) as archive, private_folder() as folder:
            members, digests = archive.members, archive.digests
            found = examine(archive, Path(folder), lookup=installed(), finite=finite)
    except ModelFileError as error:
        found = found._replace(problems=(error,))
    return ModelReport(
        str(target),
        size,
        found.keras_version,
        members,
        digests,
        tuple(_needs(found)),
        found.weights,
        found.provenance,
        found.audit.unsafe,
        found.problems,
    )


def check_suffix(path: Path) -> None:
    """Refuse a name that is not a model file's.

    Args:
        path: The file.

    Raises:
        ModelFileError: If it does not end in `.keras`.
    """
    if path.suffix == SUFFIX:
        return
    hint = "Name it `.keras`."
    if path.suffix in {".h5", ".hdf5"}:
        hint = (
            "Legacy whole-model HDF5 can run code of the file's choosing and is not loaded; "
            "convert it where it was made with `save_model(model, 'NAME.keras')`."
        )
    raise ModelFileError("is not a `.keras` file.", path=str(path), hint=hint)


def private_folder() -> tempfile.TemporaryDirectory[str]:
    """A new folder that only this user can look into; it is removed after use."""
    return tempfile.TemporaryDirectory(prefix="dl_techniques-", ignore_cleanup_errors=True)


def examine(
    archive: Archive,
    folder: Path,
    *,
    lookup: Lookup,
    given: Collection[str] = (),
    compile: bool = True,
    allow_unsafe: bool = False,
    finite: bool = True,
) -> Examination:
    """Everything that can be known of a file before Keras sees it.

    Args:
        archive: The open file.
        folder: A private folder; weights and assets are unpacked into it, and what was looked at
            there is what will be loaded.
        lookup: How to find components.
        given: Names of the objects that the caller provides.
        compile: Whether the model is to be compiled; otherwise what only that needs is left out.
        allow_unsafe: Whether to accept what can run code of the file's choosing.
        finite: Whether to refuse NaN and infinity in the weights.

    Returns:
        What was found, with all findings about names and sizes.

    Raises:
        ModelFileError: If the file is damaged, or its structure is not a model file's.
    """
    label, limits = archive.label, archive.limits
    config = archive.document(CONFIG)
    if isinstance(config, dict) and not compile:
        config["compile_config"] = None
    version = _keras_version(archive)
    origin = _provenance(archive)
    found = audit(
        config,
        label=label,
        resolve=lookup.resolve,
        index=lookup.names,
        given=given,
        allow_unsafe=allow_unsafe,
        limits=limits,
    )
    path = archive.extract(WEIGHTS, folder)
    for member in archive.members:
        if member.name.startswith(ASSETS):
            archive.extract(member.name, folder)
    if origin is not None:
        digests = {n: d for n, d in archive.digests.items() if n != PROVENANCE}
        provenance.check_digests(origin, digests, label=label)
    weights = read_weights(path, label=label, finite=finite, limits=limits)
    graph_faults = () if found.problems else graphs.faults(found, label=label)
    problems = [*found.problems, *itertools.islice(graph_faults, limits.problems)]
    problems += _assets(archive, found)
    too_new = compatibility.too_new(version, label=label)
    problems += [too_new] if too_new else []
    allowed = limits.weights_slack + limits.weights_factor * sum(w.nbytes for w in weights)
    least, where = footprint.least_bytes(found)
    if least > allowed:
        problems.append(too_large(least, weights, label=label, location=where))
    suspicious = not problems and footprint.most_bytes(found, config) > allowed
    return Examination(config, found, weights, version, origin, suspicious, tuple(problems))


def too_large(
    needed: int, weights: tuple[Weight, ...], *, label: str, location: str | None
) -> ModelFileError:
    """The finding that a configuration asks for more memory than its weights justify.

    Args:
        needed: Bytes that it asks for.
        weights: What the file holds.
        label: How messages call the file.
        location: Where most of it comes from.
    """
    stored = sum(weight.nbytes for weight in weights)
    return ModelFileError(
        f"asks for {size_text(needed)} of memory; the file holds {size_text(stored)} of weights.",
        path=label,
        member=CONFIG,
        location=location,
        hint="Do not load this file, unless you know who made it so.",
    )


def raise_problems(label: str, problems: Collection[DLTechniquesError]) -> None:
    """Raise all findings at once, if there are any.

    Args:
        label: How messages call the file.
        problems: The findings.

    Raises:
        ModelFileProblems: If there are any.
    """
    if problems:
        raise ModelFileProblems(label, tuple(problems))


def _keras_version(archive: Archive) -> str:
    document = archive.document(METADATA)
    version = document.get("keras_version") if isinstance(document, dict) else None
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ModelFileError(
            f"does not say which Keras wrote it (`keras_version` is {short_repr(version)}).",
            path=archive.label,
            member=METADATA,
            location="keras_version",
            hint="Save the model again with `save_model`.",
        )
    return version


def _provenance(archive: Archive) -> Provenance | None:
    if PROVENANCE not in archive:
        return None
    return provenance.parse(archive.document(PROVENANCE), label=archive.label)


def _assets(archive: Archive, found: Audit) -> list[ModelFileError]:
    """Assets are files that a layer reads: there must be one that does."""
    names = [member.name for member in archive.members if member.name.startswith(ASSETS)]
    reads = any(item.name.rpartition(".")[2] in READS_VOCABULARY for item in found.builtins)
    if not names or reads or found.uses:
        return []
    return [
        ModelFileError(
            "belongs to no layer of this model.",
            path=archive.label,
            member=name,
            hint="Save the model again with `save_model`.",
        )
        for name in names[: archive.limits.problems]
    ]


def _needs(found: Examination) -> list[Need]:
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
