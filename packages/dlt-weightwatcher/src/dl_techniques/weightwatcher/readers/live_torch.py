"""Weights of live torch modules; torch is used only because the caller has imported it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dl_techniques.weightwatcher.readers.architecture import architecture_of
from dl_techniques.weightwatcher.readers.mapping import from_values, to_array
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
    config = getattr(module, "config", None)
    stated = config.to_dict() if hasattr(config, "to_dict") else config
    architecture = architecture_of(stated) if isinstance(stated, Mapping) else {}
    source = from_values(values, label=label, skipped=skipped, scaling=scaling, layout="torch")
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
