"""Check a model file before anything is built from it. Imports no Keras."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final, NamedTuple

from dl_techniques.core.errors import DLTechniquesError, ModelFileError, ModelFileProblems
from dl_techniques.core.files import keras_versions, provenance, stored_state
from dl_techniques.core.files.archive import (
    ASSETS,
    CONFIG,
    LEGACY,
    METADATA,
    PROVENANCE,
    STATE,
    SUFFIX,
    WEIGHTS,
    Archive,
)
from dl_techniques.core.files.config_walk import Audit, audit
from dl_techniques.core.files.keras_builtins import READS_FILES
from dl_techniques.core.files.known_components import KnownComponents
from dl_techniques.core.files.options import Options
from dl_techniques.core.files.provenance import Provenance
from dl_techniques.core.files.stored_state import State
from dl_techniques.core.files.weights import Weight, read_weights
from dl_techniques.core.text import short_repr

_VERSION: Final = re.compile(r"\d+(\.\d+){1,3}[A-Za-z0-9.+-]{0,24}")


class Checked(NamedTuple):
    """A model file that was checked."""

    config: dict[str, Any]
    audit: Audit
    weights: tuple[Weight, ...]
    keras_version: str
    provenance: Provenance | None
    state: State | None
    problems: tuple[ModelFileError, ...]


def check(
    archive: Archive,
    folder: Path,
    known: KnownComponents,
    options: Options,
    *,
    copy: bool = False,
) -> Checked:
    """Check all that a model file holds: configuration, weights, assets and digests.

    Args:
        archive: The open file.
        folder: A private folder, into which weights and assets are unpacked.
        known: The components that names in the file may mean.
        options: The terms of `load_model`. Unless `compile`, the `compile_config` is left out.
        copy: Whether to write the weights anew into `folder`, as Keras reads them.

    Returns:
        The checked content, with all problems of names.

    Raises:
        ModelFileError: If the file is damaged, or its structure is not a model file's.
    """
    label = archive.label
    config = archive.document(CONFIG)
    if isinstance(config, dict) and not options.compile:
        config["compile_config"] = None
    version = _keras_version(archive)
    said = None
    if PROVENANCE in archive:
        said = provenance.parse(archive.document(PROVENANCE), label=label)
    state = None
    if STATE in archive:
        state = stored_state.parse(archive.document(STATE), label)
    found = audit(config, known, options, label=label)
    target = folder / WEIGHTS if copy else None
    with archive.section(WEIGHTS, folder / "stored") as source:
        weights = read_weights(
            source, label=label, finite=options.finite, limits=archive.limits, copy=target
        )
    # After the weights were read: a file that changed meanwhile has another digest.
    archive.digest(WEIGHTS)
    for member in archive.members:
        if member.name.startswith(ASSETS):
            archive.extract(member.name, folder)
    if said is not None:
        digests = {n: d for n, d in archive.digests.items() if n != PROVENANCE}
        provenance.check_digests(said, digests, label=label)
    problems = [*found.problems, *_unused_assets(archive, found)]
    too_new = keras_versions.too_new(version, label=label)
    problems += [too_new] if too_new else []
    return Checked(config, found, weights, version, said, state, tuple(problems))


def check_suffix(path: Path) -> None:
    """Refuse a name that is not a model file's.

    Args:
        path: The file.

    Raises:
        ModelFileError: If it does not end in `.keras`.
    """
    if path.suffix == SUFFIX:
        return
    hint = LEGACY if path.suffix in {".h5", ".hdf5"} else "Name it `.keras`."
    raise ModelFileError("is not a `.keras` file.", path=str(path), hint=hint)


def private_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder that only this user can read; it is removed after use."""
    return tempfile.TemporaryDirectory(prefix="dl_techniques-", ignore_cleanup_errors=True)


def raise_problems(label: str, problems: Collection[DLTechniquesError]) -> None:
    """Raise all problems at once, if there are any.

    Args:
        label: The model file's name in messages.
        problems: The problems.

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
            f"does not say which Keras wrote it. Received: keras_version={short_repr(version)}.",
            path=archive.label,
            member=METADATA,
            location="keras_version",
            hint="Save the model again with `save_model`.",
        )
    return version


def _unused_assets(archive: Archive, found: Audit) -> list[ModelFileError]:
    """Assets are files that a layer reads: there must be one that does."""
    names = [member.name for member in archive.members if member.name.startswith(ASSETS)]
    reads = any(item.name.rpartition(".")[2] in READS_FILES for item in found.builtins)
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
