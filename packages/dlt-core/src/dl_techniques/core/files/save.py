"""Save a model: let Keras write it, describe it, check it, and rename it into place."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dl_techniques.core.__about__ import CONTRACT, __version__
from dl_techniques.core.atomic_write import replacing
from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files import keras_versions, model_state
from dl_techniques.core.files.archive import CONFIG, PROVENANCE, STATE, Archive
from dl_techniques.core.files.check import check_suffix, raise_problems
from dl_techniques.core.files.config_walk import Audit, audit
from dl_techniques.core.files.known_components import installed_and_declared
from dl_techniques.core.files.limits import LIMITS
from dl_techniques.core.files.load import open_model
from dl_techniques.core.files.options import Options
from dl_techniques.core.files.provenance import Origin, Provenance, weights_origin
from dl_techniques.core.files.rebuilt import differences, known_obstacles, lost_values
from dl_techniques.core.registry.registry import registry


def save_model(model: Any, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Save a model so that `load_model` restores it in a process that imported nothing.

    The file is written beside its target, loaded once as `load_model` will load it, compared with
    the model, synced, and renamed. At each moment the path holds the old file or the
    new one, whole. It is an ordinary `.keras` file with two more members: the state that Keras does
    not store (seeds, for example), and the origin of the components with a digest of each member.

    Args:
        model: The `keras.Model`. All its custom objects must be declared components.
        path: Where to; must end in `.keras`. A symbolic link is followed.
        overwrite: Whether an existing file may be replaced.

    Raises:
        TypeError: If `model` is not a model.
        FileExistsError: If the file exists and `overwrite` is false.
        ModelFileError: If the model could not be loaded again as it is: an object is not
            declared, or two models inside it share a layer, for example. The model itself and an
            existing file are as they were.
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
    with replacing(target, overwrite=overwrite) as temporary:
        with model_state.exact_adapters(model):
            keras.saving.save_model(model, temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(STATE, json.dumps(model_state.capture(model)))
        provenance = _describe(temporary, str(target), weights_origin(model))
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(PROVENANCE, provenance.to_bytes())
        _require_same(model, temporary, str(target))
    registry.plugins.call("dl_model_saved", path=str(target), provenance=provenance.to_json())


def _describe(file: Path, label: str, weights: dict[str, str]) -> Provenance:
    """Describe a file that Keras wrote; refuse what could not be loaded again."""
    known = installed_and_declared()
    with Archive(file, label=label) as archive:
        # Saving may include Lambda layers; loading them needs `allow_unsafe`.
        terms = Options(allow_unsafe=True)
        found = audit(archive.document(CONFIG), known, terms, label=label, saving=True)
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
        weights=weights,
    )


def _origins(found: Audit) -> dict[str, Origin]:
    return {
        use.entry.id: Origin(use.entry.distribution, use.entry.version, use.entry.object)
        for use in found.uses
        if use.entry is not None
    }


def _require_same(model: Any, file: Path, label: str) -> None:
    """Load the file, and refuse it if the model does not come back as it is."""
    folder = file.parent / "check"
    folder.mkdir()
    optimizer = getattr(model, "optimizer", None)
    try:
        with _same_random_numbers():
            # Keras warns of an optimizer without variables, which a later fit makes.
            trained = optimizer is not None and optimizer.built
            terms = Options(compile=trained, allow_unsafe=True)
            again, _ = open_model(file, folder, terms, label=label)
    except ModelFileError as error:
        obstacles = known_obstacles(model)
        if not obstacles:
            raise
        raise _different(obstacles, label) from error
    problems = differences(model, again) or lost_values(model, again)
    if problems:
        raise _different(problems, label)


def _different(problems: list[str], label: str) -> ModelFileError:
    return ModelFileError(
        "The model would not come back as it is. " + " ".join(problems[: LIMITS.problems]),
        path=label,
        hint="The model in memory is unchanged, and nothing was written.",
    )


@contextlib.contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Leave the generators as they are, from which Keras draws seeds for new layers."""
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
