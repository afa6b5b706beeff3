"""Seeds, casts and adapters: the state of a model that Keras's files lack.

`save_model` calls Keras's save within `exact_adapters(model)` and stores `capture(model)` as one
more JSON member. `load_model` parses that member before Keras sees anything, and restores it after
Keras has loaded the weights. Parts that are quantized, adapted or frozen decide how many variables
there are; they stand in the build configuration of components, so that plain Keras rebuilds them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np

from dl_techniques.core.contract.sublayers import seed_generators, walk
from dl_techniques.core.files.stored_state import FORMAT, State
from dl_techniques.core.text import short_repr

_EXACT: Final = "exact "  # how the names of arrays begin that Keras does not read


def capture(model: Any) -> dict[str, Any]:
    """Return the state of a model as JSON types.

    Args:
        model: The model.
    """
    layers: dict[str, Any] = {}
    for path, layer, again in walk(model):
        if again:
            continue
        entry: dict[str, Any] = {}
        seeds = {name: _seed(generator) for name, generator in seed_generators(layer)}
        if seeds:
            entry["seeds"] = seeds
        if not layer.autocast:
            entry["autocast"] = False
        if entry:
            layers[path] = entry
    return {"format": FORMAT, "layers": layers}


def restore(model: Any, state: State, weights: Path | None = None) -> None:
    """Bring a model that was loaded into the state in which it was saved.

    Args:
        model: The model, with its weights.
        state: The parsed member.
        weights: The weights file; needed for adapters only.

    Raises:
        ValueError: If the state is that of another model.
    """
    layers = {path: layer for path, layer, again in walk(model) if not again}
    for path, entry in state.layers.items():
        if path not in layers:
            raise ValueError(f"the model has no layer at {short_repr(path)}")
        generators = dict(seed_generators(layers[path]))
        for name, seed in entry.seeds.items():
            if name not in generators:
                raise ValueError(
                    f"the layer at {short_repr(path)} has no seed generator {short_repr(name)}"
                )
            _assign_seed(generators[name], seed)
        if not entry.autocast:
            layers[path].autocast = False
    if weights is not None:
        _restore_adapters(layers, weights)


@contextlib.contextmanager
def exact_adapters(model: Any) -> Iterator[None]:
    """Let Keras store the variables of layers with LoRA as they are, too.

    Keras merges an adapter into its kernel when it saves, and starts it at zero when it loads,
    where both of its factors have no gradient. Its own arrays stay as Keras writes them, so that
    it reads the file as ever.

    Args:
        model: The model that is saved meanwhile.
    """
    adapted = [
        (path, layer)
        for path, layer, again in walk(model)
        if not again and getattr(layer, "lora_enabled", False)
    ]
    for path, layer in adapted:
        # Into the dictionary: Keras looks at what is set as an attribute, and locks it.
        save = functools.partial(_save_exactly, layer, layer.save_own_variables, path)
        vars(layer)["save_own_variables"] = save
    try:
        yield
    finally:
        for _, layer in adapted:
            vars(layer).pop("save_own_variables", None)


def _save_exactly(layer: Any, save: Any, path: str, store: Any) -> None:
    save(store)
    for index, variable in enumerate(layer.weights):
        store[f"{_EXACT}{path.replace('/', '.')} {index}"] = variable


def _restore_adapters(layers: Mapping[str, Any], weights: Path) -> None:
    adapted = {
        path.replace("/", "."): layer
        for path, layer in layers.items()
        if getattr(layer, "lora_enabled", False)
    }
    if not adapted:
        return
    import h5py

    with h5py.File(weights, "r", locking=False) as file:
        found: list[tuple[str, Any]] = []
        file.visititems(lambda name, item: found.append((name.rpartition("/")[2], item)))
        for name, item in found:
            if name.startswith(_EXACT) and isinstance(item, h5py.Dataset):
                path, _, index = name.removeprefix(_EXACT).rpartition(" ")
                own = adapted[path].weights if path in adapted else []
                if not index.isdecimal() or int(index) >= len(own):
                    raise ValueError(f"the model has no variable for {short_repr(name)}")
                _assign(own[int(index)], item, name)


def _assign(variable: Any, dataset: Any, name: str) -> None:
    if tuple(dataset.shape) != tuple(variable.shape):
        raise ValueError(f"{short_repr(name)} has the shape {dataset.shape}, not {variable.shape}")
    value = np.array(dataset[()])
    if value.dtype.kind == "V":  # HDF5 knows no bfloat16: Keras stores its bytes
        value = value.view("bfloat16")
    variable.assign(value)


def _seed(generator: Any) -> list[int]:
    return [int(number) for number in keras.ops.convert_to_numpy(generator.state)]


def _assign_seed(generator: Any, seed: tuple[int, int]) -> None:
    # Backends have seeds of other widths and signs; the lower bits are what they share.
    bits = np.array([number % (1 << 64) for number in seed], "uint64")
    dtype = keras.backend.standardize_dtype(generator.state.dtype)
    generator.state.assign(bits.astype(dtype))
