"""Replacing weights by their best approximation of low rank."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from dl_techniques.core.contract.component import component
from dl_techniques.weightwatcher.matrices import plan, stack_of
from dl_techniques.weightwatcher.numerics import shape
from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.marchenko_pastur import fit_marchenko_pastur
from dl_techniques.weightwatcher.numerics.powerlaw import fit
from dl_techniques.weightwatcher.parts import Part
from dl_techniques.weightwatcher.readers.opening import open_source
from dl_techniques.weightwatcher.readers.weight import Weight
from dl_techniques.weightwatcher.selection import chooser
from dl_techniques.weightwatcher.settings import Settings

_RULES = ("detX", "alpha", "mp")
_SHARPEN = 0.5


@component("dl_techniques>smooth_model", kind="analyzer", tags=("weights", "low rank"), since="0.1")
def smooth_model(
    model: Any,
    rank: str | int | float = "detX",
    *,
    include: Any = None,
    exclude: Any = None,
    copy: bool = True,
) -> Any:
    """Keep the largest singular values of every weight matrix and drop the others.

    Each matrix becomes its best approximation of that rank in the Frobenius norm.

    Args:
        model: A Keras model, a torch module, or a mapping of names to arrays.
        rank: How many singular values stay: a number; a fraction of them (float below 1);
            `detX` (unit volume of the tail), `alpha` (the power-law tail) or `mp` (those beyond
            the random bulk).
        include: Which weights; see `analyze_model`.
        exclude: Which of these to leave alone.
        copy: Whether to leave the given model as it is. A Keras model is copied as Keras saves
            it, so its own classes must be registered.

    Returns:
        The smoothed model, of the kind that was given; dtypes are kept.

    Raises:
        ValueError: If `rank` is none of these.
        TypeError: If the model is a file or cannot be written to.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import smooth_model
        >>> W = np.random.default_rng(0).normal(size=(30, 20))
        >>> int(np.linalg.matrix_rank(smooth_model({"w": W}, rank=5)["w"]))
        5
    """
    _check_rank(rank)
    return _transform(
        model, lambda stack, part: _truncated(stack, part, rank), include, exclude, copy
    )


@component("dl_techniques>sharpen_model", kind="analyzer", tags=("weights",), since="0.1")
def sharpen_model(
    model: Any, *, include: Any = None, exclude: Any = None, copy: bool = True
) -> Any:
    """Raise the singular values above the random bulk: s -> s + (s - edge) / 2 where s > edge.

    The edge is that of the Marchenko-Pastur law fitted to each matrix.

    Args:
        model: A Keras model, a torch module, or a mapping of names to arrays.
        include: Which weights; see `analyze_model`.
        exclude: Which of these to leave alone.
        copy: Whether to leave the given model as it is.

    Returns:
        The sharpened model, of the kind that was given; dtypes are kept.

    Raises:
        TypeError: If the model is a file or cannot be written to.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import sharpen_model, stable_rank
        >>> W = np.random.default_rng(0).normal(size=(60, 40)) + 0.5
        >>> stable_rank(sharpen_model({"w": W})["w"]) < stable_rank(W)
        True
    """
    return _transform(model, _sharpened, include, exclude, copy)


def _transform(model: Any, change: Any, include: Any, exclude: Any, copied: bool) -> Any:
    target = _writable(model, copied)
    wanted = None if include is None else chooser(include, "include")
    unwanted = None if exclude is None else chooser(exclude, "exclude")
    # A copy of a Keras model gives its variables other paths, so places tell which is which.
    places = _places(model) if hasattr(model, "get_config") else {}
    for weight in open_source(model).weights:
        if (wanted and not wanted(weight)) or (unwanted and unwanted(weight)):
            continue
        parts = plan(weight, Settings(rnn="whole"))
        if isinstance(parts, str) or not _is_plain(weight):
            continue
        array = _changed(weight, parts, change)
        if weight.path in places:
            target.weights[places[weight.path]].assign(array)
        else:
            _write(target, weight.path, array)
    return target


def _places(model: Any) -> dict[str, int]:
    from dl_techniques.weightwatcher.readers.live_keras import unique_paths

    return {path: place for place, path in enumerate(unique_paths(model))}


def _changed(weight: Weight, parts: list[Part], change: Any) -> Array:
    """The whole weight with each of its parts changed, in its own dtype."""
    array = np.array(weight.values.read(), order="C")
    wide = array.astype(np.float64)
    for part in parts:
        # The steps are views of a contiguous array wherever they can be; where one had to copy,
        # indices say where its numbers came from.
        places = stack_of(np.arange(wide.size).reshape(wide.shape), part)
        stack = wide.reshape(-1)[places]
        wide.reshape(-1)[places] = np.stack([change(matrix, part) for matrix in stack])
    return wide.astype(array.dtype)


def _truncated(matrix: Array, part: Part, rank: str | int | float) -> Array:
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    kept = _rank(values, part, rank)
    return np.asarray((left[:, :kept] * values[:kept]) @ right[:kept])


def _sharpened(matrix: Array, part: Part) -> Array:
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    if values[0] == 0:
        return matrix
    edge = np.sqrt(fit_marchenko_pastur(values[::-1] ** 2, part.N, part.M).bulk_max)
    raised = values + _SHARPEN * np.maximum(values - edge, 0.0)
    return np.asarray((left * raised) @ right)


def _rank(values: Array, part: Part, rank: str | int | float) -> int:
    evals = values[::-1] ** 2
    if isinstance(rank, int):
        return min(rank, values.size)
    if isinstance(rank, float):
        return max(1, round(rank * values.size))
    if evals[-1] == 0:
        return 0
    if rank == "detX":
        return shape.volume_count(evals)
    if rank == "alpha":
        fitted = fit(evals[evals > 0], rng=np.random.default_rng(0))
        return fitted.n_tail or values.size
    return max(1, fit_marchenko_pastur(evals, part.N, part.M).num_spikes)


def _check_rank(rank: Any) -> None:
    named = isinstance(rank, str) and rank in _RULES
    counted = type(rank) is int and rank >= 1
    share = isinstance(rank, float) and 0 < rank < 1
    if not (named or counted or share):
        raise ValueError(
            f"`rank` must be one of {', '.join(_RULES)}, a positive integer or a fraction below 1. "
            f"Received: rank={rank!r}"
        )


def _is_plain(weight: Weight) -> bool:
    """Return whether the weight is stored as it is used, so that it can be written back."""
    from dl_techniques.weightwatcher.readers.values import Held

    return isinstance(weight.values, Held)


def _writable(model: Any, copied: bool) -> Any:
    if isinstance(model, Mapping):
        return {name: _copied(array) if copied else array for name, array in model.items()}
    if hasattr(model, "state_dict") and not hasattr(model, "get_config"):
        return copy.deepcopy(model) if copied else model
    if not hasattr(model, "weights"):
        raise TypeError(
            "Expected a Keras model, a torch module or a mapping of arrays, which can be written "
            f"to. Received: model={type(model).__name__}"
        )
    return copy.deepcopy(model) if copied else model


def _copied(array: Any) -> Any:
    return array.detach().clone() if hasattr(array, "detach") else np.array(array)


def _write(target: Any, path: str, array: Array) -> None:
    """Write to a mapping or to a torch module."""
    own = target[path] if isinstance(target, dict) else target.state_dict()[path]
    if hasattr(own, "copy_"):  # a tensor of torch
        own.detach().copy_(own.new_tensor(array.astype(np.float64)))
    elif isinstance(own, np.ndarray) and own.flags.writeable:
        own[...] = array
    else:
        target[path] = array
