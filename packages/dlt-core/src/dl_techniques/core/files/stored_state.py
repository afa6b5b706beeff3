"""The state member of a model file, parsed strictly. Imports no Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.archive import STATE
from dl_techniques.core.text import short_repr

FORMAT: Final = 1
_LONGEST_PATH: Final = 4096
_MOST_LAYERS: Final = 100_000
_MOST_SEEDS: Final = 1000
_SEED_BITS: Final = 64


class LayerState(NamedTuple):
    """Of one layer."""

    seeds: Mapping[str, tuple[int, int]]
    """Attribute of a seed generator -> its state."""
    autocast: bool


class State(NamedTuple):
    """Of a model: path of a layer in it -> what the file says of it."""

    layers: Mapping[str, LayerState]


def parse(document: Any, label: str) -> State:
    """Read the state from a file.

    Args:
        document: The parsed JSON.
        label: The file's name in messages.

    Raises:
        ModelFileError: If it is malformed, too large, or of a later format.
    """
    if not isinstance(document, dict) or set(document) != {"format", "layers"}:
        raise _error("is not an object with `format` and `layers`.", label)
    if type(document["format"]) is not int or document["format"] != FORMAT:
        raise _error(
            f"has the format {short_repr(document['format'])}; this core reads {FORMAT}.",
            label,
            "Upgrade: pip install -U 'dlt-core>=0.1,<1'",
        )
    layers = document["layers"]
    if not isinstance(layers, dict) or len(layers) > _MOST_LAYERS:
        raise _error(f"has `layers` that are not an object of up to {_MOST_LAYERS}.", label)
    for path in layers:
        if len(path) > _LONGEST_PATH or not path.isprintable():
            raise _error("has a path that is not one line of text.", label)
    return State({path: _layer_state(entry, path, label) for path, entry in layers.items()})


def _layer_state(entry: Any, path: str, label: str) -> LayerState:
    where = short_repr(path)
    if not isinstance(entry, dict) or not set(entry) <= {"seeds", "autocast"}:
        raise _error(f"says something unknown of the layer {where}.", label)
    seeds = entry.get("seeds", {})
    if not isinstance(seeds, dict) or len(seeds) > _MOST_SEEDS:
        raise _error(f"has `seeds` of the layer {where} that are not an object.", label)
    for name, seed in seeds.items():
        sound = isinstance(seed, list) and len(seed) == 2 and all(map(_is_seed, seed))
        if not sound or len(name) > _LONGEST_PATH or not name.isprintable():
            raise _error(f"has a seed of the layer {where} that is not two integers.", label)
    if entry.get("autocast", False) is not False:
        raise _error(f"has an `autocast` of the layer {where} that is not false.", label)
    return LayerState({name: (a, b) for name, (a, b) in seeds.items()}, "autocast" not in entry)


def _is_seed(value: Any) -> bool:
    return type(value) is int and -(1 << _SEED_BITS - 1) <= value < 1 << _SEED_BITS


def _error(
    message: str, label: str, hint: str = "Save the model again with `save_model`."
) -> ModelFileError:
    return ModelFileError(message, path=label, member=STATE, hint=hint)
