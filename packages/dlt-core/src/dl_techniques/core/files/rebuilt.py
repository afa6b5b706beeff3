"""Compare a model that was rebuilt from its file with the one in memory, layer by layer.

`save_model` loads what it has written, before it publishes it, and refuses if anything differs:

    again = keras.saving.load_model(temporary, ...)
    problems = differences(model, again)

If the file cannot be loaded at all, `known_obstacles(model)` says why in the commonest cases.
Layers, variables and their values are compared; nothing is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from dl_techniques.core.contract.bases import Component
from dl_techniques.core.contract.changed_parts import quantization_mode
from dl_techniques.core.contract.sublayers import children, seed_generators, walk

_Places = dict[str, tuple[str, Any]]  # path -> the first path of the same layer, and the layer


def differences(model: Any, again: Any) -> list[str]:
    """Say in words what of a model is not as before.

    Args:
        model: The model in memory.
        again: The one that was rebuilt from its file.

    Returns:
        One sentence a layer that is not shared as before, missing, differently trainable,
        quantized or typed; empty without a difference.
    """
    before, after = _places(model), _places(again)
    found = [*_misplaced(before, after)]
    if not found:
        pairs = ((path, layer, after[path][1]) for path, (first, layer) in before.items()
                 if first == path)  # fmt: skip
        found = [text for path, layer, other in pairs for text in _changed(path, layer, other)]
    return found or [*_optimizers(model, again)]


def lost_values(model: Any, again: Any) -> list[str]:
    """Name the weights that come back with other values.

    Keras 3.8, for one, does not store layers in nested lists, and says nothing.

    Args:
        model: The model in memory.
        again: The one that was rebuilt from its file, without differences.
    """
    lost = []
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        a, b = (keras.ops.convert_to_numpy(variable.value) for variable in (ours, theirs))
        if a.tobytes() != b.tobytes():
            name = ours.path
            lost.append(f"The variable {name!r} comes back with other values: it was not stored.")
    return lost


def known_obstacles(model: Any) -> list[str]:
    """Say what of a model Keras writes into a file in a way that it cannot read again.

    Args:
        model: The model in memory.
    """
    return [*_shared_between_models(model), *_quantized_parts(model)]


def _shared_between_models(model: Any) -> list[str]:
    """Say of each layer that stands in two models inside a model that it does.

    Keras stores each of them by itself and loads the layer twice, or not at all.
    """
    holders: dict[int, list[Any]] = {}
    layers: dict[int, Any] = {}
    for _, part, again in walk(model):
        if not again and isinstance(part, keras.Model):
            for _, layer in children(part):
                layers[id(layer)] = layer
                if part not in holders.setdefault(id(layer), []):
                    holders[id(layer)].append(part)
    return [
        f"The layer {layers[key].name!r} ({type(layers[key]).__name__}) stands in the models "
        f"{' and '.join(repr(part.name) for part in parts)}; a file holds each model by itself."
        for key, parts in holders.items()
        if len(parts) > 1
    ]


def _quantized_parts(model: Any) -> list[str]:
    """Name the layers of Keras that hold quantized parts, which their configurations leave out."""
    found = []
    for _, layer, again in walk(model):
        # Models list their layers, and our bases store what was changed.
        lists = isinstance(layer, (keras.Model, Component))
        parts = [] if again or lists else [part for _, part in children(layer)]
        if modes := [(part, mode) for part in parts if (mode := quantization_mode(part))]:
            part, mode = modes[0]
            found.append(
                f"Keras does not store that parts of the layer {layer.name!r} "
                f"({type(layer).__name__}) are quantized, such as {part.name!r} ({mode}): call "
                "`quantize` of the other layers one by one, not of the whole model."
            )
    return found


def _places(model: Any) -> _Places:
    first: dict[int, str] = {}
    places: _Places = {}
    for path, layer, _ in walk(model):
        places[path] = (first.setdefault(id(layer), path), layer)
    return places


def _misplaced(before: _Places, after: _Places) -> Iterator[str]:
    for path, (first, layer) in before.items():
        name = _name(path, layer)
        if path not in after:
            yield f"{name} is missing."
        elif type(after[path][1]).__name__ != type(layer).__name__:
            yield f"{name} comes back as a {type(after[path][1]).__name__}."
        elif first != path != after[path][0] != first:
            yield f"{name} is shared with {first!r}, and comes back shared with another layer."
        elif first != path == after[path][0]:
            yield f"{name} is shared with {first!r}, and comes back as a layer of its own."
        elif first == path != after[path][0]:
            yield f"{name} stands alone, and comes back shared with {after[path][0]!r}."
    for path in after.keys() - before.keys():
        yield f"{_name(path, after[path][1])} has been added."


def _changed(path: str, layer: Any, other: Any) -> Iterator[str]:
    name = _name(path, layer)
    if layer.dtype_policy.name != other.dtype_policy.name:
        yield (
            f"{name} has the dtype {layer.dtype_policy.name!r} and comes back with "
            f"{other.dtype_policy.name!r}."
        )
        return
    if layer.trainable != other.trainable:
        yield f"{name} comes back {'trainable' if other.trainable else 'frozen'}."
        return
    ours, theirs = _own(layer), _own(other)
    if len(ours) != len(theirs):
        yield f"{name} has {len(ours)} variables and comes back with {len(theirs)}."
        return
    for a, b in zip(ours, theirs, strict=True):
        if (tuple(a.shape), str(a.dtype)) != (tuple(b.shape), str(b.dtype)):
            yield f"The variable {a.name!r} of {name} comes back with another shape or dtype."
        elif a.trainable != b.trainable:
            what = "trainable" if b.trainable else "frozen"
            yield f"The variable {a.name!r} of {name} comes back {what}: set the layer's instead."
    if [key for key, _ in seed_generators(layer)] != [key for key, _ in seed_generators(other)]:
        yield f"{name} comes back with other seed generators."


def _own(layer: Any) -> list[Any]:
    inner = {id(v) for _, child in children(layer) for v in child.weights}
    return [variable for variable in layer.weights if id(variable) not in inner]


def _optimizers(model: Any, again: Any) -> Iterator[str]:
    ours, theirs = (getattr(m, "optimizer", None) for m in (model, again))
    if ours is None or theirs is None or not getattr(ours, "built", False):
        return
    shapes = [[(tuple(v.shape), str(v.dtype)) for v in o.variables] for o in (ours, theirs)]
    if shapes[0] != shapes[1]:
        yield (
            f"The optimizer has {len(shapes[0])} variables and comes back with {len(shapes[1])}, "
            "or with others."
        )


def _name(path: str, layer: Any) -> str:
    return f"The layer {layer.name!r} ({type(layer).__name__}) at {path!r}" if path else "The model"
