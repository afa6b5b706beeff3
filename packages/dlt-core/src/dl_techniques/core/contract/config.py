"""Configurations derived from signatures, so that no component writes `get_config` by hand."""

from __future__ import annotations

import inspect
from typing import Any, Self

import keras

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Configurable:
    """Mixin that derives `get_config` and `from_config` from the signature of `__init__`.

    The rule: every parameter is stored under its own name. Its value, which may be a number, a
    string, a Keras object or a container of these, is serialized, and deserialized again before
    the constructor sees it.
    """

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON types.

        Raises:
            TypeError: If a parameter was not stored under its own name.
        """
        config = self._inherited_config()
        for name in parameter_names(type(self)):
            if not hasattr(self, name):
                raise TypeError(
                    f"{type(self).__name__} must store the parameter `{name}` of its constructor "
                    "under its own name, or write `get_config` itself."
                )
            config[name] = _serialize(getattr(self, name))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make an instance from `get_config()`'s answer.

        Args:
            config: The configuration; nested Keras objects are deserialized.
        """
        return cls(**{name: _deserialize(value) for name, value in config.items()})

    def _inherited_config(self) -> dict[str, Any]:
        """What the Keras base class itself stores (`name`, `dtype` and the like)."""
        # Callbacks have no configuration; regularizers and schedules raise where the other base
        # classes answer with an empty dictionary.
        inherited = getattr(super(), "get_config", dict)
        try:
            return dict(inherited())
        except NotImplementedError:
            return {}


def parameter_names(cls: type) -> tuple[str, ...]:
    """The constructor's parameters that the classes of one component add to Keras's own.

    Follows `**kwargs` up the class hierarchy and stops at Keras, whose own configuration covers
    the rest.

    Args:
        cls: A component class.
    """
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        if base.__module__.partition(".")[0] == "keras":
            break
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names.update((p.name, None) for p in parameters if p.kind not in _VARIADIC)
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
            break
    return tuple(name for name in names if name not in _KERAS_OWN)


# Stored by the Keras base classes, under the same names.
_KERAS_OWN = frozenset({"name", "dtype", "trainable", "reduction", "activity_regularizer"})


def _serialize(value: Any) -> Any:
    if inspect.isfunction(value):
        return _serialize_function(value)
    if isinstance(value, type):
        return _serialize_class(value)
    serialized = keras.saving.serialize_keras_object(value)
    if isinstance(serialized, dict):
        # A configuration says how to construct. A sub-layer that came back already built would
        # be built a second time by its owner, which Keras refuses.
        serialized.pop("build_config", None)
    return serialized


def _serialize_class(cls: type) -> str:
    """The name that `resolve` knows a class by, whose parts it makes without arguments."""
    name = str(keras.saving.get_registered_name(cls))
    if vars(keras.layers).get(name) is cls or keras.saving.get_registered_object(name) is cls:
        return name
    raise TypeError(
        f"The class `{cls.__name__}` cannot be stored, because nothing would find it again by its "
        'name. Declare it with `@component("namespace>Name", kind="layer")`.'
    )


def _serialize_function(function: Any) -> Any:
    name = function.__name__
    if vars(keras.activations).get(name) is function:
        return name
    serialized = None if name == "<lambda>" else keras.saving.serialize_keras_object(function)
    # Keras stores a function by its bare name: `keras.ops.gelu` would come back as the other gelu.
    if serialized is None or _deserialize_or_none(serialized) is not function:
        raise TypeError(
            f"The function `{name}` cannot be stored, because Keras would not find it again by its "
            'name. Declare it with `@component("namespace>name", kind="function")`.'
        )
    return serialized


def _deserialize_or_none(serialized: Any) -> Any:
    try:
        return keras.saving.deserialize_keras_object(serialized)
    except (TypeError, ValueError):
        return None


def _deserialize(value: Any) -> Any:
    if isinstance(value, dict):
        # Without `module` it is no configuration of Keras's but one in short, which the constructor
        # was given, and which `resolve` reads.
        if {"class_name", "config", "module"} <= value.keys():
            return keras.saving.deserialize_keras_object(value)
        return {key: _deserialize(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_deserialize(item) for item in value]
    return value
