"""Variables of a model by paths: attributes, places in lists, names of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from dl_techniques.weights.rules.layout import Binding, bindings


class NoVariable(LookupError):  # noqa: N818  # the name says it already
    """The path leads to no variable."""


def variable_at(model: Any, path: str) -> Any:
    """The variable at a path.

    Args:
        model: The model or layer.
        path: Such as `blocks.0.attention.query.kernel`.

    Raises:
        NoVariable: If it leads to none.
    """
    item = model
    for part in path.split("."):
        item = _child(item, part)
        if item is None:
            raise NoVariable(f"the model has no {path}")
    if not isinstance(item, keras.Variable):
        raise NoVariable(f"{path} is no variable but {type(item).__name__}")
    return item


def expand(model: Any, pattern: str) -> Iterator[tuple[Binding, Any]]:
    """All variables that a pattern leads to, with what its places stand for.

    Args:
        model: The model or layer.
        pattern: A path with `{name}` in it.
    """
    yield from _expand(model, pattern.split("."), {})


def _expand(item: Any, parts: Sequence[str], binding: Binding) -> Iterator[tuple[Binding, Any]]:
    if not parts:
        if isinstance(item, keras.Variable):
            yield binding, item
        return
    part, *rest = parts
    if "{" not in part:
        child = _child(item, part)
        if child is not None:
            yield from _expand(child, rest, binding)
        return
    for name, found in bindings(part, _names(item), binding):
        yield from _expand(_child(item, name), rest, found)


def _child(item: Any, name: str) -> Any:
    if isinstance(item, Mapping):
        return item.get(name)
    if isinstance(item, Sequence):
        return item[int(name)] if name.isdigit() and int(name) < len(item) else None
    if isinstance(item, keras.Model):
        layer = next((layer for layer in item.layers if layer.name == name), None)
        if layer is not None:
            return layer
    return getattr(item, name, None)


def _names(item: Any) -> list[str]:
    if isinstance(item, Mapping):
        return [str(key) for key in item]
    if isinstance(item, Sequence):
        return [str(index) for index in range(len(item))]
    layers = [layer.name for layer in item.layers] if isinstance(item, keras.Model) else []
    return [*layers, *(name for name in vars(item) if not name.startswith("_"))]
