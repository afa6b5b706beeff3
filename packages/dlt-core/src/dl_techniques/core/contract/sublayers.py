"""The layers inside a layer, each under a path that a rebuilt instance has as well."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import keras

from dl_techniques.core.contract.functional import functional_class

_CONTAINERS: Final = (list, tuple, dict)


class Visit(NamedTuple):
    """One place at which a layer stands in another."""

    path: str
    """Attributes and positions from the root, such as `blocks/0/attention`; the root's is `""`."""
    layer: Any
    again: bool
    """Whether the layer stands at an earlier place, too."""


def walk(root: Any) -> Iterator[Visit]:
    """Visit a layer and all layers in it, in an order that depends on names only.

    A layer that stands at several places is visited at each of them; what is inside it is visited
    once.

    Args:
        root: A layer or model.
    """
    seen: set[int] = set()
    stack = [("", root)]
    while stack:
        path, layer = stack.pop()
        again = id(layer) in seen
        seen.add(id(layer))
        yield Visit(path, layer, again)
        if not again:
            inner = [(f"{path}/{name}".lstrip("/"), item) for name, item in children(layer)]
            stack.extend(reversed(inner))


def children(layer: Any) -> Iterator[tuple[str, Any]]:
    """The layers that a layer holds itself, by attribute or position.

    Args:
        layer: A layer or model.
    """
    if isinstance(layer, (functional_class(), keras.Sequential)):
        yield from ((f"layers/{i}", item) for i, item in enumerate(layer.layers))
    for name, value in _attributes(layer):
        yield from _of_type(name, value, keras.layers.Layer)


def seed_generators(layer: Any) -> Iterator[tuple[str, Any]]:
    """The seed generators that a layer holds itself, by attribute or position.

    Args:
        layer: A layer or model.
    """
    for name, value in _attributes(layer):
        yield from _of_type(name, value, keras.random.SeedGenerator)


def _of_type(name: str, value: Any, kind: type, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if isinstance(value, kind):
        yield name, value
    elif isinstance(value, _CONTAINERS) and depth < 8:  # containers may hold themselves
        items = value.values() if isinstance(value, dict) else value
        for index, item in enumerate(items):
            yield from _of_type(f"{name}/{index}", item, kind, depth + 1)


def _attributes(layer: Any) -> Iterator[tuple[str, Any]]:
    """Return the attributes that a class's author stored, without those of every Keras layer."""
    stored = vars(layer)
    # PyTorch keeps layers apart and finds them by `__getattr__`; no property is computed here.
    names = {*stored, *(set(dir(layer)) - set(dir(type(layer))))}
    for name in sorted(names - _stored_by_keras(_kind(layer))):
        # TensorFlow keeps a second list of all parts under names that begin so.
        if not name.startswith(("__", "_self_")):
            yield name, stored[name] if name in stored else getattr(layer, name, None)


def _kind(layer: Any) -> str:
    if isinstance(layer, keras.Sequential):
        return "sequential"
    if isinstance(layer, functional_class()):
        return "functional"
    return "model" if isinstance(layer, keras.Model) else "layer"


@functools.cache
def _stored_by_keras(kind: str) -> frozenset[str]:
    """Attributes of an empty instance; names are given so that no default name is used up."""
    tensor = keras.Input((1,), name="input")
    make = {
        "layer": lambda: keras.layers.Layer(name="layer"),
        "model": lambda: keras.Model(name="model"),
        "functional": lambda: keras.Model(tensor, tensor, name="functional"),
        "sequential": lambda: keras.Sequential([tensor], name="sequential"),
    }
    instance = make[kind]()
    return frozenset({*vars(instance), *(set(dir(instance)) - set(dir(type(instance))))})
