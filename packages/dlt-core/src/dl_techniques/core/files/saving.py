"""Saving and loading models: files that are never half written, and never trusted."""

from __future__ import annotations

import os
import platform
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np

from dl_techniques.core.__about__ import CONTRACT, __version__
from dl_techniques.core.atomic_write import replacing
from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files import keras_versions as compatibility
from dl_techniques.core.files import rebuild as rebuilding
from dl_techniques.core.files.archive import CONFIG, WEIGHTS, Archive
from dl_techniques.core.files.config_walk import Audit, audit
from dl_techniques.core.files.inspection import (
    Examination,
    check_suffix,
    examine,
    private_folder,
    raise_problems,
    too_large,
)
from dl_techniques.core.files.known_components import known
from dl_techniques.core.files.limits import LIMITS, Limits
from dl_techniques.core.files.provenance import Origin, Provenance
from dl_techniques.core.files.sealing import seal
from dl_techniques.core.files.weights import Weight, itemsize
from dl_techniques.core.registry.registry import registry
from dl_techniques.core.text import describe_error


def save_model(model: Any, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Save a model so that `load_model` restores it in a process that imported nothing.

    The file is written beside its target, read back and checked as `load_model` will check it,
    synced, and renamed. Whatever happens meanwhile, the path holds the old file or the new one,
    whole. It is an ordinary `.keras` file with one more member, which says what the components
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
    with replacing(target, overwrite=overwrite) as temporary:
        keras.saving.save_model(model, temporary)
        provenance = _describe(temporary, label=str(target))
        seal(temporary, provenance)
        _verify(temporary, label=str(target))
    registry.plugins.call("dl_model_saved", path=str(target), provenance=provenance.to_json())


def load_model(
    path: str | os.PathLike[str],
    *,
    compile: bool = True,
    custom_objects: Mapping[str, Any] | None = None,
    allow_unsafe: bool = False,
    finite: bool = True,
    limits: Limits = LIMITS,
) -> Any:
    """Load a model, without importing its components first and without trusting the file.

    The file is looked through before Keras sees it, and refused with all findings at once.
    Components are found by the identifiers that installed distributions declare, whatever module
    the file names.

    Args:
        path: The `.keras` file, of `save_model` or of Keras's own `model.save`.
        compile: Whether to restore the optimizer, losses and metrics.
        custom_objects: Objects of your own for names in the file that no distribution declares.
        allow_unsafe: Whether to accept Lambda layers and components that declare themselves
            unsafe. The file can then do whatever a program of its author could do.
        finite: Whether to refuse weights that are NaN or infinite.
        limits: The bounds under which the file is read.

    Returns:
        The `keras.Model`.

    Raises:
        ModelFileError: If the file is refused, or Keras cannot rebuild the model.

    Example:
        See `save_model`.
    """
    target = Path(path)
    check_suffix(target)
    objects = dict(custom_objects or {})
    lookup = known()
    with Archive(target, limits=limits) as archive, private_folder() as name:
        folder = Path(name)
        found = examine(
            archive,
            folder,
            lookup=lookup,
            given=objects,
            compile=compile,
            allow_unsafe=allow_unsafe,
            finite=finite,
        )
        label = archive.label
        raise_problems(label, found.problems)
        if rebuilding.migrate(found):
            again = audit(
                found.config,
                label=label,
                resolve=lookup.resolve,
                index=lookup.names,
                given=objects,
                allow_unsafe=allow_unsafe,
                limits=limits,
            )
            raise_problems(label, again.problems)
            found = found._replace(audit=again)
        plan = rebuilding.prepare(found, lookup=lookup, given=objects, label=label)
        if found.suspicious:
            _require_measured(found, plan, limits, label, safe_mode=not allow_unsafe)
        plan.write(folder)
        model = _load(folder, plan, label, compile=compile, safe_mode=not allow_unsafe)
        _require_lossless(model, found.weights, folder / WEIGHTS, label)
    origin = found.provenance.to_json() if found.provenance else {}
    registry.plugins.call("dl_model_loaded", model=model, provenance=origin)
    return model


# Saving.


def _describe(file: Path, *, label: str) -> Provenance:
    """What is to be said of a file that Keras wrote; refuses what could not be loaded again."""
    lookup = known()
    with Archive(file, label=label) as archive:
        config = archive.document(CONFIG)
        # Code in the user's own model is his to save; loading it takes his consent again.
        found = audit(
            config,
            label=label,
            resolve=lookup.resolve,
            index=lookup.names,
            allow_unsafe=True,
        )
        raise_problems(label, found.problems)
        members = {member.name: archive.digest(member.name) for member in archive.members}
    return Provenance(
        keras=keras.version(),
        least_keras=compatibility.least_keras(found.builtins),
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


def _verify(file: Path, *, label: str) -> None:
    """The pre-flight of `load_model`, on the file as it will be published."""
    folder = file.parent / "check"
    folder.mkdir()
    with Archive(file, label=label) as archive:
        found = examine(archive, folder, lookup=known(), allow_unsafe=True, finite=False)
    raise_problems(label, found.problems)


# Loading.


def _load(
    folder: Path, plan: rebuilding.Plan, label: str, *, compile: bool, safe_mode: bool
) -> Any:
    try:
        model = keras.saving.load_model(
            folder, custom_objects=plan.objects, compile=compile, safe_mode=safe_mode
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
            hint="The versions that wrote the file are in `dl-techniques inspect`.",
        ) from error
    plan.finish()
    return model


def _require_measured(
    found: Examination, plan: rebuilding.Plan, limits: Limits, label: str, *, safe_mode: bool
) -> None:
    """Build the model without allocating its variables, and add up what they would take."""
    stored = sum(weight.nbytes for weight in found.weights)
    allowed = limits.weights_slack + limits.weights_factor * stored
    needed = _Measurement(plan, safe_mode).result(label)
    plan.forget()
    if needed > allowed:
        error = too_large(needed, found.weights, label=label, location=None)
        raise_problems(label, [error])


class _Measurement(NamedTuple):
    """A build in a thread of its own: Keras keeps deferred variables for a thread's life."""

    plan: rebuilding.Plan
    safe_mode: bool

    def result(self, label: str) -> int:
        policy = keras.config.dtype_policy()
        answers: list[int] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                keras.config.set_dtype_policy(policy)
                answers.append(self._bytes())
            except BaseException as error:  # as in `_load`
                errors.append(error)

        thread = threading.Thread(target=work, name="dl_techniques-measure")
        thread.start()
        thread.join()
        if not errors:
            return answers[0]
        raise ModelFileError(
            "may ask for far more memory than its weights justify, which could not be measured: "
            f"{describe_error(errors[0])}",
            path=label,
            member=CONFIG,
            distribution=self.plan.blame(errors[0]),
            hint="If you trust the file, pass `limits=` with a larger `weights_slack`.",
        ) from errors[0]

    def _bytes(self) -> int:
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object(
                self.plan.uncompiled(), custom_objects=self.plan.objects, safe_mode=self.safe_mode
            )
            return sum(
                int(np.prod(variable.shape, dtype=object)) * itemsize(str(variable.dtype))
                for variable in model.variables
            )


def _variables(model: Any) -> list[Any]:
    optimizer = getattr(model, "optimizer", None)
    found = [*model.variables, *(optimizer.variables if optimizer is not None else ())]
    return [*{id(variable): variable for variable in found}.values()]


def _require_lossless(model: Any, weights: tuple[Weight, ...], file: Path, label: str) -> None:
    """Keras casts whatever is stored to what a variable is; a cast must not change a number."""
    variables = Counter((tuple(v.shape), str(v.dtype)) for v in _variables(model))
    stored = Counter((weight.shape, weight.dtype) for weight in weights)
    free = variables - stored
    changed = [
        (weight, dtype)
        for weight in weights
        if stored[weight.shape, weight.dtype] > variables[weight.shape, weight.dtype]
        for shape, dtype in free
        if shape == weight.shape and dtype != weight.dtype
    ]
    if not changed:
        return
    with h5py.File(file, "r", locking=False) as opened:
        for weight, dtype in changed:
            if not _survives(opened[weight.path], weight.dtype, dtype):
                raise ModelFileError(
                    f"holds {weight.dtype}, which the model's {dtype} cannot hold unchanged.",
                    path=label,
                    member=WEIGHTS,
                    location=weight.path,
                    hint="Convert the weights where the file was made, and save it again.",
                )


def _survives(dataset: Any, stored: str, wanted: str) -> bool:
    if (stored == "bool") != (wanted == "bool") or ("float" in stored) != ("float" in wanted):
        return False
    if stored == "bfloat16" or wanted == "bfloat16":
        return wanted in {"float32", "float64"}  # NumPy does not know it; these hold all of it
    for selection in dataset.iter_chunks() if dataset.chunks else [()]:
        block = dataset[selection]
        with np.errstate(over="ignore"):
            if not np.array_equal(block, block.astype(wanted), equal_nan="float" in stored):
                return False
    return True
