"""Weights that a file holds in parts: direction and length, spectral norm, pruning masks."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from dl_techniques.weightwatcher.joins.tensors import Tensors
from dl_techniques.weightwatcher.readers.array import Array
from dl_techniques.weightwatcher.readers.computed import Computed
from dl_techniques.weightwatcher.readers.scaled import Scaled
from dl_techniques.weightwatcher.readers.values import Values

_PARAMETRIZED: Final = re.compile(
    r"^(?P<stem>(?:.+\.)?)parametrizations\.(?P<name>[^.]+)\.(?P<part>.+)$"
)


def join_reparametrized(tensors: Tensors) -> None:
    """Replace the parts of reparametrized weights by the weights that the layers use.

    Args:
        tensors: The tensors; changed in place.
    """
    _join_hooks(tensors)
    parts: dict[str, dict[str, str]] = {}
    for name in tensors.values:
        match = _PARAMETRIZED.match(name)
        if match:
            parts.setdefault(f"{match['stem']}{match['name']}", {})[match["part"]] = name
    for target, names in parts.items():
        _join_parametrized(tensors, target, names)


def _join_hooks(tensors: Tensors) -> None:
    """Torch's older hooks: X_g and X_v, X_orig with X_u and X_v, X_orig and X_mask."""
    for name in list(tensors.values):
        if name.endswith("_g") and f"{name[:-2]}_v" in tensors.values:
            target = name[:-2]
            direction = tensors.values[f"{target}_v"]
            if _stands_beside(tensors.values[name].shape, direction.shape):
                _normalize(tensors, target, name, f"{target}_v")
        elif name.endswith("_orig"):
            target = name.removesuffix("_orig")
            if f"{target}_mask" in tensors.values:
                _mask(tensors, target)
            elif {f"{target}_u"} <= tensors.values.keys():
                _divide(tensors, target, name, f"{target}_u", f"{target}_v")


def _join_parametrized(tensors: Tensors, target: str, names: dict[str, str]) -> None:
    """torch.nn.utils.parametrizations."""
    if names.keys() == {"original0", "original1"}:
        _normalize(tensors, target, names["original0"], names["original1"])
    elif names.keys() == {"original", "0._u", "0._v"}:
        _divide(tensors, target, names["original"], names["0._u"], names["0._v"])
    else:
        for name in names.values():
            tensors.take(name, f"a part of {target}, whose parametrization no file describes")


def _normalize(tensors: Tensors, target: str, length: str, direction: str) -> None:
    """G v / ||v||, with a norm for each number of g."""
    g, v = tensors.values[length], tensors.values[direction]
    if not _stands_beside(g.shape, v.shape):
        for name in (length, direction):
            tensors.take(name, f"a part of {target}: length and direction do not fit")
        return
    tensors.take(length, f"the length of {target}")
    beside = g.shape if g.shape else (1,) * len(v.shape)
    ratio = Computed(_length_over_norm, (g, v), beside, "float64")
    tensors.replace(direction, target, Scaled(v, ratio))


def _stands_beside(g: tuple[int, ...], v: tuple[int, ...]) -> bool:
    return not g or (len(g) == len(v) > 1 and all(a in (1, b) for a, b in zip(g, v, strict=True)))


def _length_over_norm(g: Array, v: Array) -> Array:
    shape = g.shape if g.ndim else (1,) * v.ndim
    axes = tuple(axis for axis, n in enumerate(shape) if n == 1)
    norms = np.sqrt(np.sum(np.square(v, dtype=np.float64), axis=axes, keepdims=True))
    found: Array = g.astype(np.float64).reshape(shape) / np.where(norms > 0, norms, 1)
    return found


def _divide(tensors: Tensors, target: str, original: str, left: str, right: str) -> None:
    """W / (u^T W v), u and v being kept from power iterations."""
    values = tensors.values[original]
    u, v = tensors.values[left], tensors.values.get(right)
    vectors = [u] if v is None else [u, v]
    for name in (left, right):
        if name in tensors.values:
            tensors.take(name, f"a vector of the spectral norm of {target}")
    norm = Computed(_spectral_norm, (values, *vectors), (), "float64")
    tensors.replace(original, target, Scaled(values, norm, divide=True))


def _spectral_norm(weight: Array, u: Array, v: Array | None = None) -> Array:
    """The norm as the layer computes it: along the axis that gives the larger number.

    Torch takes the axis of the outputs, which for transposed convolutions is the second. Power
    iterations end near the largest singular value, which a wrong axis misses.
    """
    found = [0.0]
    for axis in (0, 1) if weight.ndim > 2 else (0,):
        matrix = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)
        if matrix.shape[0] != u.size:
            continue
        back = u.astype(np.float64) @ matrix
        if v is None:
            found.append(float(np.linalg.norm(back)))
        elif v.size == back.size:
            found.append(abs(float(back @ v.astype(np.float64))))
    return np.asarray(max(found))


def _mask(tensors: Tensors, target: str) -> None:
    """W times a mask of zeros and ones, of torch.nn.utils.prune."""
    original, mask = f"{target}_orig", f"{target}_mask"
    values = tensors.values[original]
    if tensors.values[mask].shape != values.shape:
        return
    kept: Values = tensors.take(mask, f"the mask of {target}")
    parts = (values, kept)
    product = Computed(np.multiply, parts, values.shape, values.dtype, blockwise=True)
    tensors.replace(original, target, product)
