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
        inherited: dict[str, Any] = super().get_config()  # type: ignore[misc]  # of the Keras base
        return inherited


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
    # A built-in function is best known by its bare name: short, and the same in every version.
    if inspect.isfunction(value) and keras.saving.get_registered_name(value) == value.__name__:
        serialized = keras.saving.serialize_keras_object(value)
        builtin = str(serialized.get("module", "")).startswith("keras.")
        return serialized["config"] if builtin else serialized
    return keras.saving.serialize_keras_object(value)


def _deserialize(value: Any) -> Any:
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            return keras.saving.deserialize_keras_object(value)
        return {key: _deserialize(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_deserialize(item) for item in value]
    return value
