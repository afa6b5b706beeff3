"""Weights from dictionaries of arrays, state dicts and iterators of (name, array)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from dl_techniques.weights.readers.values import numpy_dtype
from dl_techniques.weightwatcher.joins.adapters import join_adapters
from dl_techniques.weightwatcher.joins.reparametrized import join_reparametrized
from dl_techniques.weightwatcher.joins.scales import join_scales
from dl_techniques.weightwatcher.joins.tensors import Tensors
from dl_techniques.weightwatcher.readers.adapter_config import AdapterConfig
from dl_techniques.weightwatcher.readers.checkpoint import tensors_of
from dl_techniques.weightwatcher.readers.values import Held, Values
from dl_techniques.weightwatcher.readers.weight import Layout, Skipped, Source, SourceError, Weight


class AdapterFacts(NamedTuple):
    """Facts about low-rank updates besides their factors."""

    given: float | None = None
    """The scale that the caller gives."""
    config: AdapterConfig | None = None
    live: Mapping[tuple[str, str], float] = {}
    """(layer, adapter) -> the scale that a live module has."""
    turned_layers: frozenset[str] = frozenset()
    """Layers whose weights are stored as (in, out)."""

    def scaling(self, stem: str, adapter: str, rank: int) -> float | None:
        """Return what an update is multiplied by, as far as it is known.

        Args:
            stem: The name of the layer.
            adapter: The name of the adapter.
            rank: The rank of the update.
        """
        if self.given is not None:
            return self.given
        if (stem, adapter) in self.live:
            return self.live[stem, adapter]
        return self.config.scaling(stem, adapter, rank) if self.config is not None else None

    def turned(self, stem: str) -> bool | None:
        """Say whether the weight of a layer is stored as (in, out), as far as it is known.

        Args:
            stem: The name of the layer.
        """
        if stem in self.turned_layers:
            return True
        return self.config.turned if self.config is not None else None


NO_ADAPTER: Final = AdapterFacts()


def read_mapping(
    arrays: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    *,
    label: str = "arrays",
    scaling: float | None = None,
) -> Source:
    """Weights from names and arrays: NumPy's, or anything that becomes one (torch, JAX, lists).

    Args:
        arrays: Name -> array, or pairs of both.
        label: The model's name.
        scaling: alpha / r of LoRA factors; 1 where nothing says it.

    Raises:
        SourceError: If a name stands twice, or an item is no pair.
    """
    values: dict[str, Values] = {}
    skipped: list[Skipped] = []
    pairs = _pairs(arrays, skipped) if isinstance(arrays, Mapping) else list(arrays)
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
    return from_values(values, label=label, skipped=skipped, adapter=AdapterFacts(scaling))


def _pairs(arrays: Mapping[Any, Any], skipped: list[Skipped]) -> list[tuple[Any, Any]]:
    """The items; of a checkpoint, which holds mappings, those that are of the model."""
    nested = any(isinstance(value, Mapping) for value in arrays.values())
    found = tensors_of(arrays, _has_shape if nested else lambda item: item is not arrays)
    for name, item, reason in found:
        if reason:
            shape, dtype = getattr(item, "shape", ()), getattr(item, "dtype", "unknown")
            skipped.append(Skipped(name, tuple(shape), str(dtype), reason))
    return [(name, item) for name, item, reason in found if not reason]


def _has_shape(item: Any) -> bool:
    return hasattr(item, "shape") and hasattr(item, "dtype")


def from_values(
    values: Mapping[str, Values],
    *,
    label: str,
    skipped: Iterable[Skipped] = (),
    adapter: AdapterFacts = NO_ADAPTER,
    layout: Layout | None = None,
    architecture: Mapping[str, Any] | None = None,
) -> Source:
    """Weights from names and values: pairs quantized values with scales, and LoRA factors.

    Args:
        values: Name -> values.
        label: The model's name.
        skipped: Tensors that were left out.
        adapter: Facts about low-rank updates besides their factors.
        layout: The order of axes; by default guessed from each name.
        architecture: Facts from the model's configuration; see `architecture_of`.
    """
    tensors = Tensors(dict(values))
    tensors.skipped += skipped
    join_reparametrized(tensors)
    join_scales(tensors, architecture or {})
    join_adapters(tensors, adapter.scaling, adapter.turned)
    weights = []
    for name, value in {**tensors.values, **tensors.made}.items():
        named = name.endswith((".weight", "_weight")) or name in tensors.made
        own = layout or ("torch" if named else "unknown")
        layer = name.rpartition("." if "." in name else "/")[0] or name
        facts: dict[str, Any] = _gates(name, tensors.values)
        facts.update({"architecture": architecture} if architecture else {})
        weights.append(Weight(name, value, layer, "", own, facts))
    return Source(label, weights, tensors.skipped)


def _gates(name: str, values: Mapping[str, Values]) -> dict[str, int]:
    """Return how many gates a recurrent layer of torch has, from its square recurrent kernels."""
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
