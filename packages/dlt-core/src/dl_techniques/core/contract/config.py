"""Configurations derived from signatures, so that no component writes `get_config` by hand."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, Self

import keras

from dl_techniques.core.contract.bounds import require_bounds

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
# Two leading underscores: Keras looks for layers and weights in every other attribute.
_GIVEN: Final = "__dl_given__"


class _Signature:
    """Serves `inspect.signature`, and with it `help` and editors, of a class."""

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        """Return the constructor's signature with all that its `**kwargs` take."""
        found = None if instance is not None else merged_signature(owner)
        if found is None:
            raise AttributeError("__signature__")  # `inspect` goes on without it
        return found


class Configurable:
    """Mixin that derives `get_config` and `from_config` from the signature of `__init__`.

    The rule: every parameter is stored under its own name. Its value, which may be a number, a
    string, a Keras object or a container of these, is serialized, and deserialized again before
    the constructor sees it.

    Keras uses some names itself: `path`, `input_shape`, `loss` and others may hold its value
    instead of the constructor's. For these the value that was given is stored, whatever the
    attribute holds.
    """

    __signature__ = _Signature()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Check bounds; remember the arguments that an attribute of Keras would hide."""
        require_bounds(cls, args, kwargs)
        make: Any = super().__new__
        if make is not object.__new__:
            instance = make(cls, *args, **kwargs)
        elif (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__}() takes no arguments")
        else:
            instance = make(cls)
        _remember(instance, cls, args, kwargs)
        return instance  # type: ignore[no-any-return]  # `make` is any class's

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON types.

        Raises:
            TypeError: If a parameter was not stored under its own name.
        """
        config = self._inherited_config()
        given = vars(self).get(_GIVEN, {})
        config.update((name, _serialize(value)) for name, value in given.items())
        for name in parameter_names(type(self)):
            if name in given:
                continue
            if name in _taken_names(type(self)):
                raise TypeError(
                    f"{type(self).__name__} has the parameter `{name}`, a name that Keras uses "
                    "itself, and was not made by its constructor. Rename the parameter."
                )
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
        """Return the configuration of the Keras base class (`name`, `dtype` and the like)."""
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
    the rest. Those that the class calls `transient` are left out: no configuration holds them.

    Args:
        cls: A component class.
    """
    names = dict.fromkeys(parameter.name for parameter in _parameters(cls))
    left_out = _KERAS_OWN | getattr(cls, "transient", frozenset())
    return tuple(name for name in names if name not in left_out)


def merged_signature(cls: type) -> inspect.Signature | None:
    """Return the constructor's signature, where parameters of the bases stand for `**kwargs`.

    Args:
        cls: A component class.

    Returns:
        The signature; parameters of bases are keyword-only. `None` if only Keras has one.
    """
    constructors = list(_constructors(cls))
    if not constructors:
        return None
    own, *inherited = constructors
    found = {p.name: p for p in own if p.kind is not inspect.Parameter.VAR_KEYWORD}
    for parameters in inherited:
        for p in parameters:
            if p.kind not in _VARIADIC:
                found.setdefault(p.name, p.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    last = [p for p in constructors[-1] if p.kind is inspect.Parameter.VAR_KEYWORD]
    return inspect.Signature([*found.values(), *last])


def _parameters(cls: type) -> Iterator[inspect.Parameter]:
    for parameters in _constructors(cls):
        yield from (p for p in parameters if p.kind not in _VARIADIC)


def _constructors(cls: type) -> Iterator[list[inspect.Parameter]]:
    """Iterate over the parameters of each constructor that `**kwargs` leads to, up to Keras."""
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        if _is_keras(base):
            break
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        yield parameters
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
            break


# Stored by the Keras base classes, under the same names.
_KERAS_OWN = frozenset({"name", "dtype", "trainable", "reduction", "activity_regularizer"})

# Keras gives these to instances, some of them after construction: `compile` sets `loss`, and a
# functional-style model gets properties that its class has not got yet.
_SET_BY_KERAS: Final = frozenset(
    {"autocast", "built", "call_signature_parameters", "compiled", "history", "input"}
    | {
        "input_shape",
        "inputs",
        "jit_compile",
        "loss",
        "nnx_operations",
        "operations",
        "optimizer",
        "output",
    }
    | {"output_names", "output_shape", "outputs", "predict_function", "run_eagerly"}
    | {
        "steps_per_execution",
        "stop_evaluating",
        "stop_predicting",
        "stop_training",
        "supports_jit",
        "test_function",
        "train_function",
    }
    | {"add", "generated_config", "pop", "unrolled_steps_per_execution", "updated_config"}
)
_taken: weakref.WeakKeyDictionary[type, frozenset[str]] = weakref.WeakKeyDictionary()


def _is_keras(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "keras"


def _taken_names(cls: type) -> frozenset[str]:
    """The constructor's parameters whose attributes are Keras's."""
    if cls not in _taken:
        bases = cls.__mro__
        first = next((i for i, base in enumerate(bases) if _is_keras(base)), len(bases))
        own = {name for base in bases[:first] for name in vars(base)}
        theirs = {name for base in bases[first:] for name in vars(base)} - own
        if issubclass(cls, keras.layers.Layer):
            theirs |= _SET_BY_KERAS
        _taken[cls] = frozenset(theirs.intersection(parameter_names(cls)))
    return _taken[cls]


def _remember(instance: Any, cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    names = sorted(_taken_names(cls))
    if "autocast" in kwargs and issubclass(cls, keras.layers.Layer):
        names.append("autocast")  # Keras takes it from everybody and stores it for nobody
    if not names:
        return
    try:
        constructor: Any = cls.__init__  # type: ignore[misc]  # it is looked at, not called
        bound = inspect.signature(constructor).bind(instance, *args, **kwargs).arguments
    except TypeError:
        return  # the constructor is about to say so, or a copy is made without it
    given = {**_defaults(cls, names), **kwargs, **bound}
    vars(instance)[_GIVEN] = {name: _copied(given[name]) for name in names if name in given}


def _defaults(cls: type, names: Collection[str]) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    for parameter in _parameters(cls):
        if parameter.name in names and parameter.default is not parameter.empty:
            defaults.setdefault(parameter.name, parameter.default)
    return defaults


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, list | dict | set) else value


def _serialize(value: Any) -> Any:
    if inspect.isfunction(value):
        return _serialize_function(value)
    if isinstance(value, type):
        return _serialize_class(value)
    serialized = keras.saving.serialize_keras_object(value)
    _forget_builds(serialized)
    return serialized


def _forget_builds(serialized: Any) -> None:
    """Leave out how layers were built: a configuration says how to construct.

    A sub-layer that came back already built would be built a second time by its owner, which
    Keras refuses.
    """
    if isinstance(serialized, dict):
        serialized.pop("build_config", None)
        if "class_name" not in serialized:
            serialized = list(serialized.values())
    if isinstance(serialized, list | tuple):
        for item in serialized:
            _forget_builds(item)


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
