"""Changes to the parts of a component after construction: quantized, adapted, frozen.

A configuration holds the constructor's arguments, and a component makes its parts itself. Later
changes of a part (`quantize`, `enable_lora`, `trainable = False`) decide which variables exist and
which are trained, so they must be repeated before weights and optimizer are restored.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any, Final

import keras

from dl_techniques.core.contract.sublayers import walk

# Others need data to calibrate with, which no file holds.
_MODES: Final = ("int8", "int4", "float8")
_LARGEST_RANK: Final = 1 << 16


def changed_parts(component: Any) -> dict[str, dict[str, Any]]:
    """Return the changes of parts by their paths, as JSON types.

    Args:
        component: A layer or model.
    """
    parts: dict[str, dict[str, Any]] = {}
    for path, layer, again in walk(component):
        if path and not again:
            changes = _changes(layer)
            if changes:
                parts[path] = changes
    return parts


def change_parts(component: Any, parts: Mapping[str, Any]) -> None:
    """Do it again to an instance that was just built.

    Args:
        component: A layer or model.
        parts: `changed_parts()`'s answer, which may come from a file.

    Raises:
        ValueError: If there is no such part, or it cannot be changed so.
    """
    if not isinstance(parts, Mapping):
        raise ValueError(f"`parts` must be an object. Received: {type(parts).__name__}")
    found = {path: layer for path, layer, again in walk(component) if path and not again}
    for path, changes in parts.items():
        if path not in found or not isinstance(changes, Mapping):
            raise ValueError(
                f"{type(component).__name__} has no part {path!r} to be changed as it was. "
                f"Received: parts={[*parts]}"
            )
        try:
            _change(found[path], changes)
        except (TypeError, NotImplementedError, AttributeError) as error:
            raise ValueError(f"The part {path!r} cannot be changed as it was: {error}") from error


def quantization_mode(layer: Any) -> str | None:
    """Return how a layer is quantized.

    Args:
        layer: A layer.
    """
    mode = getattr(layer.dtype_policy, "quantization_mode", None)
    return str(mode) if mode else None


def _changes(layer: Any) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    mode = quantization_mode(layer)
    if mode in _MODES:
        changes["quantized"] = mode
        config = getattr(layer, "quantization_config", None)
        if config is not None:
            stored = keras.saving.serialize_keras_object(config)
            changes["quantization_config"] = json.loads(json.dumps(stored))  # no tuples
    if getattr(layer, "lora_enabled", False):
        changes["lora_rank"] = layer.lora_rank
        alpha = getattr(layer, "lora_alpha", None)  # since Keras 3.9
        if alpha is not None:
            changes["lora_alpha"] = alpha
    if not layer.trainable:
        changes["trainable"] = False
    return changes


def _change(layer: Any, changes: Mapping[str, Any]) -> None:
    mode = changes.get("quantized")
    if mode is not None and quantization_mode(layer) != mode:
        if mode not in _MODES:
            raise ValueError(f"`quantized` must be one of {_MODES}. Received: {mode!r}")
        config = keras.saving.deserialize_keras_object(changes.get("quantization_config"))
        layer.quantize(mode, **({} if config is None else {"config": config}))
    rank = changes.get("lora_rank")
    if rank is not None and not getattr(layer, "lora_enabled", False):
        if type(rank) is not int or not 0 < rank <= _LARGEST_RANK:
            raise ValueError(f"`lora_rank` must be a positive integer. Received: {rank!r}")
        takes_alpha = "lora_alpha" in inspect.signature(layer.enable_lora).parameters
        alpha = changes.get("lora_alpha") if takes_alpha else None
        if alpha is not None and not isinstance(alpha, int | float):
            raise ValueError(f"`lora_alpha` must be a number. Received: {alpha!r}")
        layer.enable_lora(rank, **({} if alpha is None else {"lora_alpha": alpha}))
    if changes.get("trainable") is False:
        layer.trainable = False
