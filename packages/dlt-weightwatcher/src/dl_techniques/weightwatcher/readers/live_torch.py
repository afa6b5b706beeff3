"""Weights of live torch modules; torch is used only because the caller has imported it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dl_techniques.weightwatcher.readers.architecture import architecture_of
from dl_techniques.weightwatcher.readers.mapping import AdapterFacts, from_values, to_array
from dl_techniques.weightwatcher.readers.values import Held, Values
from dl_techniques.weightwatcher.readers.weight import Skipped, Source, Weight


def read_live_torch(module: Any, scaling: float | None = None) -> Source:
    """All parameters of a module, with the classes of the modules that own them.

    Args:
        module: A `torch.nn.Module`.
        scaling: alpha / r of LoRA factors.
    """
    owners = dict(module.named_modules(remove_duplicate=False))
    values: dict[str, Values] = {}
    skipped: list[Skipped] = []
    for name, tensor in module.state_dict(keep_vars=True).items():
        array = to_array(tensor)
        if array is None:
            dtype = str(getattr(tensor, "dtype", type(tensor).__name__))
            shape = tuple(getattr(tensor, "shape", ()))
            skipped.append(Skipped(name, shape, dtype, "not an array of numbers"))
        else:
            values[name] = Held(array)
    label = type(module).__name__
    adapter = AdapterFacts(scaling, None, _scalings(owners), _turned(owners))
    config: Any = getattr(module, "config", None)
    stated = config.to_dict() if hasattr(config, "to_dict") else config
    architecture = architecture_of(stated) if isinstance(stated, Mapping) else {}
    source = from_values(values, label=label, skipped=skipped, adapter=adapter, layout="torch")
    weights = []
    for weight in source.weights:
        owner = owners.get(weight.path.rpartition(".")[0])
        kind = type(owner).__name__ if owner is not None else ""
        groups = getattr(owner, "groups", 1)
        facts: dict[str, Any] = {"groups": groups} if groups not in {1, None} else {}
        facts.update({"architecture": architecture} if architecture else {})
        if getattr(owner, "transposed", False):
            facts["transposed"] = True
        weights.append(Weight(weight.path, weight.values, weight.layer, kind, "torch", facts))
    return Source(label, weights, source.skipped)


def _scalings(owners: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """PEFT keeps the scale of each adapter beside its factors."""
    found: dict[tuple[str, str], float] = {}
    for name, owner in owners.items():
        scaling = getattr(owner, "scaling", None)
        if isinstance(scaling, Mapping) and hasattr(owner, "base_layer"):
            pairs = {(name, str(k)): v for k, v in scaling.items()}
            found.update({k: float(v) for k, v in pairs.items() if isinstance(v, int | float)})
    return found


def _turned(owners: Mapping[str, Any]) -> frozenset[str]:
    """Layers that store (in, out): those of GPT-2, with PEFT's around them."""
    return frozenset(
        name
        for name, owner in owners.items()
        if type(owner).__name__ == "Conv1D" or getattr(owner, "fan_in_fan_out", False) is True
    )
