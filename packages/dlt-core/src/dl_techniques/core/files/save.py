"""Save a model: let Keras write it, describe it, check it, and rename it into place."""

from __future__ import annotations

import os
import platform
import zipfile
from pathlib import Path
from typing import Any

import keras

from dl_techniques.core.__about__ import CONTRACT, __version__
from dl_techniques.core.atomic_write import replacing
from dl_techniques.core.files import keras_versions
from dl_techniques.core.files.archive import CONFIG, PROVENANCE, Archive
from dl_techniques.core.files.check import check, check_suffix, raise_problems
from dl_techniques.core.files.config_walk import Audit, audit
from dl_techniques.core.files.known_components import KnownComponents, installed_and_declared
from dl_techniques.core.files.provenance import Origin, Provenance
from dl_techniques.core.registry.registry import registry


def save_model(model: Any, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Save a model so that `load_model` restores it in a process that imported nothing.

    The file is written beside its target, read back and checked as `load_model` will check it,
    synced, and renamed. Whatever happens meanwhile, the path holds the old file or the new one,
    whole. It is an ordinary `.keras` file with one more member, which tells where the components
    came from and holds a digest of every other member.

    Args:
        model: The `keras.Model`. All its custom objects must be declared components.
        path: Where to; must end in `.keras`. A symbolic link is followed.
        overwrite: Whether an existing file may be replaced.

    Raises:
        TypeError: If `model` is not a model.
        FileExistsError: If the file exists and `overwrite` is false.
        ModelFileError: If the model could not be loaded again: an object is not declared, for
            example. The model itself and an existing file are as they were.
        OSError: If the file cannot be written; an existing file is as it was.

    Example:
        >>> import pathlib, tempfile
        >>> import keras
        >>> from dl_techniques.core import load_model, save_model
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "model.keras")
        ...     save_model(model, path)
        ...     load_model(path).count_params()
        8
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {type(model).__name__}")
    target = Path(path)
    check_suffix(target)
    known = installed_and_declared()
    with replacing(target, overwrite=overwrite) as temporary:
        keras.saving.save_model(model, temporary)
        provenance = _describe(temporary, str(target), known)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(PROVENANCE, provenance.to_bytes())
        _require_loadable(temporary, str(target), known)
    registry.plugins.call("dl_model_saved", path=str(target), provenance=provenance.to_json())


def _describe(file: Path, label: str, known: KnownComponents) -> Provenance:
    """Describe a file that Keras wrote; refuse what could not be loaded again."""
    with Archive(file, label=label) as archive:
        # Saving may include Lambda layers; loading them needs `allow_unsafe`.
        found = audit(archive.document(CONFIG), label=label, known=known, allow_unsafe=True)
        raise_problems(label, found.problems)
        members = {member.name: archive.digest(member.name) for member in archive.members}
    return Provenance(
        keras=keras.version(),
        least_keras=keras_versions.least_keras(found.builtins),
        backend=keras.backend.backend(),
        python=platform.python_version(),
        core=__version__,
        contract=CONTRACT,
        components=_origins(found),
        members=members,
    )


def _origins(found: Audit) -> dict[str, Origin]:
    return {
        use.entry.id: Origin(use.entry.distribution, use.entry.version, use.entry.object)
        for use in found.uses
        if use.entry is not None
    }


def _require_loadable(file: Path, label: str, known: KnownComponents) -> None:
    """Check the file as `load_model` will, as it will be published."""
    folder = file.parent / "check"
    folder.mkdir()
    with Archive(file, label=label) as archive:
        found = check(archive, folder, known=known, allow_unsafe=True)
    raise_problems(label, found.problems)
