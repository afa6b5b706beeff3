"""Loading weights into a model, and exporting them, by one table of rules."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from dl_techniques.core.text import short_repr
from dl_techniques.weights.entry import WeightEntry
from dl_techniques.weights.errors import UnknownWeights, WeightsError, WeightsMismatch
from dl_techniques.weights.integrity import file_hash
from dl_techniques.weights.readers.opening import open_weights
from dl_techniques.weights.rules.codes import NotInvertible, Transform
from dl_techniques.weights.rules.layout import Binding, Layout, compiled, filled
from dl_techniques.weights.rules.paths import NoVariable, expand, variable_at
from dl_techniques.weights.rules.report import Match, Report

Arrays = Mapping[str, Any]
_SHOWN = 20


class _Plan(NamedTuple):
    """The assignments, once everything was checked."""

    report: Report
    assignments: list[tuple[Any, Any]]


def load(
    model: Any,
    source: Any,
    layout: Layout | str | None = None,
    skip: Sequence[str] = (),
    *,
    component: str | None = None,
    accept_license: str | None = None,
    allow_stubs: bool = False,
) -> Report:
    """Load weights into a model that is built; an error leaves it as it was.

    Args:
        model: The `keras.Model` or layer.
        source: A path, a name such as `ViT/tiny/imagenet`, a `WeightEntry`, or a mapping of names
            to arrays.
        layout: The rules, or their name; by default those of the model's component that account
            for all keys.
        skip: Keys and variables to leave out, by prefix (`head`) or pattern (`head.*`).
        component: Identifier of the component whose layouts to choose from; by default that of
            the model's class. A function that returns a model gives no class of its own.
        accept_license: The licence that you accept, where the row asks for consent.
        allow_stubs: Whether a PyTorch pickle may name classes that are not tensors.

    Returns:
        What became of each key and variable.

    Raises:
        WeightsMismatch: If a key or a variable is unaccounted for, or a shape does not fit.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from dl_techniques import weights as W
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
        >>> layout = W.Layout("torch", (W.Rule("fc", "head", W.LINEAR),))
        >>> source = {"fc.weight": np.ones((2, 3), "float32"), "fc.bias": np.zeros(2, "float32")}
        >>> W.load(model, source, layout).fits
        True
    """
    if isinstance(source, Mapping):
        arrays, label, entry, path = source, "arrays", None, None
    else:
        entry, path = _located(source, accept_license)
        arrays, label = open_weights(path, allow_stubs=allow_stubs), str(path)
    rules = _layout(component or _identifier(model), layout, arrays)
    plan = _plan(model, arrays, rules, skip, label)
    if not plan.report.fits:
        raise WeightsMismatch(_complaint(plan.report, label), plan.report)
    _assign(plan.assignments)
    if isinstance(model, keras.Model):
        model.weights_origin = _origin(rules, path, entry)
    return plan.report


def _origin(rules: Layout, path: Path | None, entry: WeightEntry | None) -> dict[str, str]:
    """Return the source of weights, as model files keep it."""
    origin = {"layout": rules.name, "rules": rules.digest}
    if path is None:
        return {"source": "arrays in memory", **origin}
    if entry is None:
        return {"source": path.name, "sha256": file_hash(path), "licence": "unknown", **origin}
    return {
        "name": entry.name,
        "source": str(entry.sources[0]),
        "sha256": entry.sha256 or file_hash(path),
        "licence": entry.licence,
        "licence_url": entry.licence_url,
        **origin,
    }


def _located(source: Any, accept: str | None) -> tuple[WeightEntry | None, Path]:
    """The row that lists weights, and their file."""
    entry = source if isinstance(source, WeightEntry) else None
    if isinstance(source, str) and not Path(source).exists() and "/" in source:
        from dl_techniques.weights.catalog import find_weights

        entry = find_weights(source)
    if entry is not None:
        from dl_techniques.weights.download import fetch

        return entry, fetch(entry, accept_license=accept)
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            "`source` must be a path, a name, a WeightEntry or a mapping. "
            f"Received: {type(source).__name__}"
        )
    return None, Path(source)


def _identifier(model: Any) -> str:
    return str(keras.saving.get_registered_name(type(model)))


def _layout(identifier: str, layout: Layout | str | None, arrays: Arrays) -> Layout:
    if isinstance(layout, Layout):
        return layout
    from dl_techniques.weights.catalog import layouts_of, load_layout

    rows = layouts_of(identifier)
    if layout is not None:
        if layout not in rows:
            known = ", ".join(rows) or "none"
            raise UnknownWeights(f"{identifier} has no layout {layout!r}. It has: {known}.")
        return load_layout(rows[layout])
    return infer_layout([load_layout(row) for row in rows.values()], arrays, identifier)


def infer_layout(layouts: Iterable[Layout], keys: Iterable[str], label: str) -> Layout:
    """The one layout that accounts for all keys.

    Args:
        layouts: The candidates.
        keys: The keys of the file.
        label: The model's name in messages.

    Raises:
        UnknownWeights: If none does, or several do.
    """
    names = list(keys)
    left = [
        (layout, [key for key in layout.matches(names)[1] if not layout.ignores(key)])
        for layout in layouts
    ]
    fitting = [layout for layout, unexpected in left if not unexpected]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UnknownWeights(
            f"Several layouts of {label} account for all keys: "
            f"{', '.join(layout.name for layout in fitting)}. Give `layout`."
        )
    tried = "; ".join(f"{lay.name} leaves {len(u)}: {u[0]}" for lay, u in left)
    raise UnknownWeights(f"No layout of {label} accounts for all keys. {tried or 'It has none.'}")


def _plan(model: Any, arrays: Arrays, layout: Layout, skip: Sequence[str], label: str) -> _Plan:
    report = Report(layout.name, layout.digest, label)
    plan = _Plan(report, [])
    wanted = {
        id(v): v for v in model.weights if not v.path.rpartition("/")[2].startswith("seed_gen")
    }
    matches, left = layout.matches(arrays)
    filled_by: dict[int, str] = {}
    for transform, binding in matches:
        _plan_one(plan, model, arrays, (transform, binding), skip, filled_by)
    for key in left:
        where = report.ignored if layout.ignores(key) else report.unexpected
        (report.skipped if _skips(skip, key) else where).append(key)
    known = {id(v) for pattern in skip for v in _variables_under(model, pattern)}
    for ident, variable in wanted.items():
        if ident in filled_by:
            continue
        path = variable.path.replace("/", ".")
        if ident in known or _skips(skip, path):
            report.skipped.append(variable.path)
        elif not any(fnmatch.fnmatchcase(path, pattern) for pattern in layout.optional):
            report.missing.append(variable.path)
    return plan


def _plan_one(
    plan: _Plan,
    model: Any,
    arrays: Arrays,
    match: tuple[Transform, Binding],
    skip: Sequence[str],
    filled_by: dict[int, str],
) -> None:
    transform, binding = match
    report = plan.report
    keys = tuple(filled(pattern, binding) for pattern in transform.keys)
    paths = tuple(filled(pattern, binding) for pattern in transform.variables)
    if any(_skips(skip, name) for name in (*keys, *paths)):
        report.skipped += [key for key in keys if key in arrays]
        return
    absent = [key for key in keys if key not in arrays]
    if absent:
        report.missing += absent
        return
    if not paths:
        report.ignored += keys
        return
    try:
        variables = [variable_at(model, path) for path in paths]
        shapes = [tuple(variable.shape) for variable in variables]
        found = transform.forward([np.asarray(arrays[key]) for key in keys], shapes)
    except NoVariable as error:
        report.unexpected += [f"{key} ({error})" for key in keys]
        return
    # Transposing an array of another rank fails in several ways.
    except (ValueError, IndexError) as error:
        report.mismatched.append(f"{' + '.join(keys)}: {error}")
        return
    for path, variable, array, shape in zip(paths, variables, found, shapes, strict=True):
        if tuple(array.shape) != shape:
            report.mismatched.append(
                f"{' + '.join(keys)} gives {tuple(array.shape)}, but {path} has {shape}"
            )
        elif id(variable) in filled_by:
            report.mismatched.append(f"{path} is filled by {filled_by[id(variable)]} already")
        else:
            plan.assignments.append((variable, array))
            if array.dtype.name != keras.backend.standardize_dtype(variable.dtype):
                report.casts[keys[0]] = array.dtype.name
        filled_by[id(variable)] = keys[0]
    report.matches.append(Match(keys, transform.name, paths, tuple(shapes)))


def _skips(skip: Sequence[str], name: str) -> bool:
    return any(
        f"{name}.".startswith(f"{pattern}.") or fnmatch.fnmatchcase(name, pattern)
        for pattern in skip
    )


def _variables_under(model: Any, pattern: str) -> list[Any]:
    """The variables of the part of the model that a path without patterns leads to."""
    item = model
    for part in pattern.removesuffix(".*").split("."):
        item = getattr(item, part, None)
    return list(getattr(item, "weights", ()))


def _complaint(report: Report, label: str) -> str:
    faults = report.faults()
    more = f"\n... and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return (
        f"{label} does not fit the model by the layout {report.layout!r}, and nothing was "
        f"assigned ({len(report.missing)} missing, {len(report.unexpected)} unexpected, "
        f"{len(report.mismatched)} mismatched):\n" + "\n".join(faults[:_SHOWN]) + more
    )


def _assign(assignments: list[tuple[Any, Any]]) -> None:
    before: list[tuple[Any, Any]] = []
    try:
        for variable, array in assignments:
            before.append((variable, np.array(keras.ops.convert_to_numpy(variable))))
            wanted = keras.backend.standardize_dtype(variable.dtype)
            plain = wanted if wanted != "bfloat16" else "float32"
            # Not `ascontiguousarray`, which gives a scalar an axis.
            variable.assign(np.asarray(array, dtype=plain, order="C"))
    # Also when the user interrupts: half a checkpoint is no model.
    except BaseException:
        for variable, array in before:
            variable.assign(array)
        raise


def export(
    model: Any,
    path: str | os.PathLike[str],
    layout: Layout | str,
    *,
    component: str | None = None,
    like: str | os.PathLike[str] | None = None,
) -> Report:
    """Write a model's weights under the keys of another library, by the rules that load them.

    Args:
        model: The `keras.Model` or layer.
        path: A `.safetensors` or `.npz` file.
        layout: The rules, or their name.
        component: As of `load`.
        like: A file of the same layout whose order, shapes, dtypes and further keys to keep.

    Returns:
        What became of each variable.

    Raises:
        WeightsMismatch: If a variable has no key, or a rule cannot be undone.
    """
    target = Path(path)
    if target.suffix not in {".safetensors", ".npz"}:
        raise ValueError(f"`path` must end in .safetensors or .npz. Received: {target}")
    rules = _layout(component or _identifier(model), layout, {})
    report = Report(rules.name, rules.digest, str(target))
    arrays = _undone(model, rules, report)
    if like is not None:
        arrays = _alike(arrays, open_weights(like), rules, report)
    if not report.fits:
        raise WeightsMismatch(
            f"The model cannot be exported by the layout {rules.name!r}:\n"
            + "\n".join(report.faults()[:_SHOWN]),
            report,
        )
    _write(target, arrays, report)
    return report


def _undone(model: Any, layout: Layout, report: Report) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    left = {id(v): v for v in model.weights if "seed_gen" not in v.path}
    for transform in layout.transforms:
        if not transform.variables:
            continue
        for binding, first in list(expand(model, transform.variables[0])):
            paths = tuple(filled(pattern, binding) for pattern in transform.variables)
            try:
                variables = [first, *(variable_at(model, path) for path in paths[1:])]
                numbers = [np.asarray(keras.ops.convert_to_numpy(v)) for v in variables]
                made = transform.backward(numbers)
                keys = tuple(filled(pattern, binding) for pattern in transform.keys)
            except (NoVariable, NotInvertible, KeyError) as error:
                report.mismatched.append(f"{', '.join(paths)}: {error}")
                continue
            arrays |= zip(keys, made, strict=True)
            shapes = tuple(tuple(v.shape) for v in variables)
            report.matches.append(Match(keys, transform.name, paths, shapes))
            for variable in variables:
                left.pop(id(variable), None)
    _add_counters(arrays, layout)
    report.missing += [variable.path for variable in left.values()]
    return arrays


def _add_counters(arrays: dict[str, Any], layout: Layout) -> None:
    """Keys without variables, beside the keys of the same layer."""
    layers = dict.fromkeys(key.rpartition(".")[0] for key in arrays)
    for transform in layout.transforms:
        if not transform.variables:
            prefix, _, name = transform.keys[0].rpartition(".")
            for layer in filter(compiled(prefix).fullmatch, layers):
                arrays[f"{layer}.{name}"] = transform.backward([])[0]


def _alike(arrays: dict[str, Any], other: Any, layout: Layout, report: Report) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key in other:
        if key not in arrays:
            if layout.ignores(key):
                made[key] = np.asarray(other[key])
                report.ignored.append(key)
            else:
                report.missing.append(key)
            continue
        array, wanted = arrays[key], other[key]
        if array.size != wanted.size:
            report.mismatched.append(f"{key} has {array.shape} instead of {wanted.shape}")
            continue
        made[key] = np.asarray(array).reshape(wanted.shape).astype(wanted.dtype)
    report.unexpected += [key for key in arrays if key not in other]
    return made


def _write(target: Path, arrays: dict[str, Any], report: Report) -> None:
    if not arrays:
        raise WeightsError(f"The layout {short_repr(report.layout)} exports nothing.")
    if target.suffix == ".npz":
        from dl_techniques.core.atomic_write import replacing

        with replacing(target) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
        return
    from dl_techniques.weights.readers.safetensors_file import write_safetensors

    write_safetensors(target, arrays, {"format": "pt"})
