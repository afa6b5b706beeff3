"""Weights from dictionaries of arrays, state dicts and iterators of (name, array)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dl_techniques.weightwatcher.readers.values import (
    Held,
    LowRank,
    Scaled,
    Values,
    numpy_dtype,
)
from dl_techniques.weightwatcher.readers.weight import Layout, Skipped, Source, SourceError, Weight

_SCALES = ("_scale", "_scale_inv", ".scale", ".scale_inv", ".scales", ".SCB")


def read_mapping(
    arrays: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    *,
    label: str = "arrays",
    scaling: float | None = None,
) -> Source:
    """Weights from names and arrays: NumPy's, or anything that becomes one (torch, JAX, lists).

    Args:
        arrays: Name -> array, or pairs of both.
        label: What to call the model.
        scaling: alpha / r of LoRA factors; 1 where nothing says it.

    Raises:
        SourceError: If a name stands twice, or an item is no pair.
    """
    pairs = list(arrays.items()) if isinstance(arrays, Mapping) else list(arrays)
    values: dict[str, Values] = {}
    skipped: list[Skipped] = []
    for pair in pairs:
        try:
            name, array = pair
        except (TypeError, ValueError):
            raise SourceError(
                f"Expected pairs of name and array. Received: {type(pair).__name__}"
            ) from None
        if str(name) in values:
            raise SourceError(f"The name {str(name)!r} stands twice.")
        masked = np.ma.is_masked(array)
        held = None if masked else to_array(array)
        if held is None:
            shape = tuple(getattr(array, "shape", ()) or ())
            dtype = str(getattr(array, "dtype", type(array).__name__))
            reason = "has masked entries: fill them first" if masked else "not an array of numbers"
            skipped.append(Skipped(str(name), shape, dtype, reason))
        else:
            values[str(name)] = Held(held)
    return from_values(values, label=label, skipped=skipped, scaling=scaling)


def from_values(
    values: Mapping[str, Values],
    *,
    label: str,
    skipped: Iterable[Skipped] = (),
    scaling: float | None = None,
    layout: Layout | None = None,
    architecture: Mapping[str, Any] | None = None,
) -> Source:
    """Weights from names and values: pairs quantized values with scales, and LoRA factors.

    Args:
        values: Name -> values.
        label: What to call the model.
        skipped: What was left out on the way.
        scaling: alpha / r of LoRA factors; 1 where nothing says it.
        layout: The order of axes; by default guessed from each name.
        architecture: What the configuration of the model says; see `architecture_of`.
    """
    rest = dict(values)
    left_out = list(skipped)
    _join_scales(rest, left_out)
    updates = _join_lora(rest, scaling, left_out)
    weights = []
    for name, value in {**rest, **updates}.items():
        own = layout or ("torch" if name.endswith((".weight", "_weight")) else "unknown")
        layer = name.rpartition("." if "." in name else "/")[0] or name
        facts: dict[str, Any] = _gates(name, rest)
        facts.update({"architecture": architecture} if architecture else {})
        weights.append(Weight(name, value, layer, "", own, facts))
    return Source(label, weights, left_out)


def _gates(name: str, values: Mapping[str, Values]) -> dict[str, int]:
    """How many gates a recurrent layer of torch has, from its square recurrent kernels."""
    partner = values.get(name.replace("weight_ih", "weight_hh"))
    if "weight_" not in name or partner is None or len(partner.shape) != 2:
        return {}
    rows, columns = partner.shape
    return {"gates": rows // columns} if columns and rows % columns == 0 else {}


def to_array(value: Any) -> Any:
    """The value as a NumPy array, without importing what it belongs to.

    Args:
        value: An array of any library, or nested lists.

    Returns:
        The array, or `None` if it does not hold numbers.
    """
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach()
        value = value.to_dense() if getattr(value, "is_sparse", False) else value
        value = value.cpu()
        name = str(value.dtype).rpartition(".")[2]
        if name.startswith(("bfloat16", "float8")):
            bits = "uint8" if name.startswith("float8") else "uint16"
            raw = value.contiguous().view(getattr(_module_of(value), bits))
            return np.asarray(raw).view(numpy_dtype(name))
        if getattr(value, "is_quantized", False):
            value = value.dequantize()
    if hasattr(value, "toarray"):  # a sparse matrix of SciPy
        value = value.toarray()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    numeric = array.dtype.kind in "fiubc" or array.dtype.name.startswith(("bfloat16", "float8"))
    return array if numeric else None


def _module_of(tensor: Any) -> Any:
    import sys

    return sys.modules[type(tensor).__module__.partition(".")[0]]


def _join_scales(values: dict[str, Values], skipped: list[Skipped]) -> None:
    for name in list(values):
        for suffix in _SCALES:
            base = name.removesuffix(suffix)
            owner = next((b for b in (base, f"{base}.weight") if b in values), None)
            if base != name and owner is not None and _is_quantized(values[owner]):
                scale = values.pop(name)
                values[owner] = Scaled(values[owner], scale)
                reason = f"the scale of {owner}"
                skipped.append(Skipped(name, scale.shape, scale.dtype, reason))
                break


def _is_quantized(value: Values) -> bool:
    return value.dtype.startswith(("int8", "uint8", "float8"))


def _join_lora(
    values: dict[str, Values], scaling: float | None, skipped: list[Skipped]
) -> dict[str, Values]:
    """PEFT's pairs `X.lora_A.weight` (r, in) and `X.lora_B.weight` (out, r)."""
    updates: dict[str, Values] = {}
    for name in list(values):
        if "lora_A" not in name:
            continue
        partner = name.replace("lora_A", "lora_B")
        if partner not in values:
            continue
        right, left = values.pop(name), values.pop(partner)
        stem = name.partition(".lora_A")[0]
        base_name = next(
            (f"{stem}{s}" for s in (".weight", ".base_layer.weight") if f"{stem}{s}" in values),
            None,
        )
        factor = 1.0 if scaling is None else scaling
        if len(left.shape) != 2 or len(right.shape) != 2 or left.shape[1] != right.shape[0]:
            raise SourceError(
                f"LoRA factors do not fit: {partner} {left.shape} @ {name} {right.shape}"
            )
        updates[f"{stem}.lora_delta"] = LowRank(left, right, factor)
        if base_name is not None:
            updates[f"{stem}.lora_effective"] = LowRank(left, right, factor, values[base_name])
        for part, value in ((name, right), (partner, left)):
            reason = f"a factor of {stem}.lora_delta"
            skipped.append(Skipped(part, value.shape, value.dtype, reason))
    return updates
