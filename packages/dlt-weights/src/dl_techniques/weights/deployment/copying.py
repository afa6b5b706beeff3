"""Copies of models, so that nothing is done to the user's own."""

from __future__ import annotations

from typing import Any

import keras

from dl_techniques.core.contract.changed_parts import change_parts, changed_parts
from dl_techniques.core.contract.sublayers import walk


class NotCopied(ValueError):  # noqa: N818  # the name says it already
    """The model's configuration does not make the model again."""


def own_classes(model: Any) -> dict[str, Any]:
    """The classes of a model's layers that Keras may not know, by name.

    Args:
        model: The model.
    """
    found = {type(layer).__name__: type(layer) for _, layer, _ in walk(model)}
    return {name: cls for name, cls in found.items() if not cls.__module__.startswith("keras.")}


def copied(model: Any, classes: dict[str, Any]) -> Any:
    """The same model, with layers and weights of its own.

    Args:
        model: A built model.
        classes: Its own classes, by name.

    Raises:
        NotCopied: If its configuration does not make it again.
    """
    try:
        with keras.saving.custom_object_scope(classes):
            again = type(model).from_config(model.get_config())
            if not again.built:
                again.build_from_config(model.get_build_config())
            change_parts(again, changed_parts(model))
    # Constructors of others fail in any way.
    except Exception as error:
        raise NotCopied(
            f"{type(model).__name__} cannot be made again from its configuration: {error}"
        ) from error
    copy_weights(model, again)
    return again


def copy_weights(source: Any, target: Any) -> None:
    """Give one model the weights of another of the same structure.

    Args:
        source: Where they are.
        target: Where they go.

    Raises:
        NotCopied: If the structures differ.
    """
    ours, theirs = source.weights, target.weights
    shapes = [[tuple(v.shape) for v in variables] for variables in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise NotCopied(f"{type(source).__name__} does not come back with the same weights.")
    for a, b in zip(ours, theirs, strict=True):
        b.assign(a.value)
