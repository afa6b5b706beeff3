"""Load a model: open the file, check it, rebuild it, let Keras load it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files import model_state, rebuild
from dl_techniques.core.files.archive import CONFIG, STATE, WEIGHTS, Archive
from dl_techniques.core.files.check import (
    Checked,
    check,
    check_suffix,
    private_folder,
    raise_problems,
)
from dl_techniques.core.files.config_walk import audit
from dl_techniques.core.files.isolation import try_loading
from dl_techniques.core.files.known_components import installed_and_declared
from dl_techniques.core.files.limits import LIMITS, Limits
from dl_techniques.core.files.options import Options
from dl_techniques.core.registry.registry import registry
from dl_techniques.core.text import describe_error


def load_model(
    path: str | os.PathLike[str],
    *,
    compile: bool = True,
    custom_objects: Mapping[str, Any] | None = None,
    allow_unsafe: bool = False,
    finite: bool = False,
    isolated: bool = False,
    limits: Limits = LIMITS,
) -> Any:
    """Load a model, without importing its components first and without trusting the file.

    The file is checked before Keras sees it, and refused with all problems at once. Components
    are found by the identifiers that installed distributions declare, whatever module the file
    names. Keras gets a configuration and weights that are written anew from what was checked.

    Args:
        path: The `.keras` file, of `save_model` or of Keras's own `model.save`.
        compile: Whether to restore the optimizer, losses and metrics.
        custom_objects: Objects of your own for names in the file that no distribution declares.
        allow_unsafe: Whether to accept Lambda layers and components that declare themselves
            unsafe. The file can then do whatever a program of its author could do.
        finite: Whether to refuse weights that are NaN or infinite.
        isolated: Whether to rebuild the model in a child process first, under `limits.memory` and
            `limits.seconds`. A small file may ask for any amount of memory or time.
        limits: The bounds under which the file is read.

    Returns:
        The `keras.Model`.

    Raises:
        ModelFileError: If the file is refused, or Keras cannot rebuild the model.
        ValueError: If `isolated` and a custom object cannot be imported by name.

    Example:
        See `save_model`.
    """
    target = Path(path)
    check_suffix(target)
    options = Options(compile, dict(custom_objects or {}), allow_unsafe, finite, limits)
    with private_folder() as name:
        folder = Path(name)
        if isolated:
            target = _copy(target, folder / "trial")
            trial = try_loading(target, options)
            if not trial.loaded:
                raise ModelFileError(
                    f"was refused by a trial in isolation ({trial.outcome}): {trial.message}",
                    path=str(path),
                    hint="Do not load this file, unless you know who made it so.",
                )
        model, checked = open_model(target, folder, options, label=str(path))
    said = checked.provenance.to_json() if checked.provenance else {}
    if said.get("weights"):
        model.weights_origin = said["weights"]
    registry.plugins.call("dl_model_loaded", model=model, provenance=said)
    return model


def open_model(path: Path, folder: Path, options: Options, *, label: str) -> tuple[Any, Checked]:
    """Open, check, rebuild and load a model file.

    Args:
        path: The file.
        folder: A private folder, into which everything for Keras is written.
        options: The terms of `load_model`.
        label: The file's name in messages.

    Returns:
        The model, and the checked content of its file.

    Raises:
        ModelFileError: See `load_model`.
    """
    known = installed_and_declared()
    with Archive(path, label=label, limits=options.limits) as archive:
        checked = check(archive, folder, known, options, copy=True)
    raise_problems(label, checked.problems)
    if rebuild.migrate(checked):
        again = audit(checked.config, known, options, label=label)
        raise_problems(label, again.problems)
        checked = checked._replace(audit=again)
    plan = rebuild.prepare(checked, known=known, given=options.custom_objects, label=label)
    plan.write(folder)
    model = _load(folder, plan, options, label)
    if checked.state is not None:
        try:
            model_state.restore(model, checked.state, folder / WEIGHTS)
        except ValueError as error:
            raise ModelFileError(
                f"{error}.", path=label, member=STATE, hint="Save the model again."
            ) from error
    return model, checked


def _copy(path: Path, folder: Path) -> Path:
    """Copy the file, so that the one which was tried is the one which is loaded."""
    Archive(path).__exit__()  # refuses what cannot be copied: a folder, a pipe
    folder.mkdir()
    return Path(shutil.copyfile(path, folder / "model.keras"))


def _load(folder: Path, plan: rebuild.Plan, options: Options, label: str) -> Any:
    try:
        model = keras.saving.load_model(
            folder,
            custom_objects=plan.objects,
            compile=options.compile,
            safe_mode=not options.allow_unsafe,
        )
    except KeyboardInterrupt:
        raise
    # Constructors of any component may raise anything; the caller catches one family.
    except BaseException as error:
        raise ModelFileError(
            f"Keras cannot rebuild the model: {describe_error(error)}",
            path=label,
            member=CONFIG,
            distribution=plan.blame(error),
            hint="`dl-techniques inspect` shows the versions that wrote the file.",
        ) from error
    if not isinstance(model, keras.Model):
        raise ModelFileError(
            f"holds a {type(model).__name__}, not a model.",
            path=label,
            member=CONFIG,
            hint="Save the model again with `save_model`.",
        )
    plan.finish()
    return model
