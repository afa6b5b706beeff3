"""One way to choose a part by string: what `norm=`, `activation=` or `ffn=` accept everywhere."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import keras

from dl_techniques.core.entry import Entry
from dl_techniques.core.errors import AmbiguousComponent, DLTechniquesError, UnknownComponent
from dl_techniques.core.registry.registry import registry

# Kind -> where Keras keeps its own, the class that an instance has, the kinds of components that
# serve, the best first.
_LAYER: Final = keras.layers.Layer
_FAMILIES: Final[dict[str, tuple[Any, type, tuple[str, ...]]]] = {
    "layer": (keras.layers, _LAYER, ("layer", "activation", "model")),
    "activation": (keras.activations, _LAYER, ("activation", "layer")),
    "initializer": (keras.initializers, keras.initializers.Initializer, ("initializer",)),
    "regularizer": (keras.regularizers, keras.regularizers.Regularizer, ("regularizer",)),
    "constraint": (keras.constraints, keras.constraints.Constraint, ("constraint",)),
    "loss": (keras.losses, keras.losses.Loss, ("loss",)),
    "metric": (keras.metrics, keras.metrics.Metric, ("metric",)),
    "optimizer": (keras.optimizers, keras.optimizers.Optimizer, ("optimizer",)),
    "schedule": (
        keras.optimizers.schedules,
        keras.optimizers.schedules.LearningRateSchedule,
        ("schedule",),
    ),
}


def resolve(
    identifier: Any,
    *,
    kind: str,
    argument: str | None = None,
    fresh: bool = False,
    **defaults: Any,
) -> Any:
    """Make a part from whatever a user may pass for it.

    In this order, a text is: the identifier of a component (`"dl_techniques>RMSNorm"`), the name
    of one of Keras's own (`"LayerNormalization"`, `"gelu"`), the bare name of a component
    (`"RMSNorm"`). So no plugin can take the place of what Keras itself provides.

    A layer that uses it keeps its configuration whole by storing what it was *given* under the
    parameter's own name, and the part under another:

    ```python
    self.norm = norm  # "RMSNorm", a config, an instance: `get_config` serializes it
    self.norm_layer = resolve(norm, kind="layer", argument="norm", epsilon=1e-6)
    ```

    A layer that makes several parts from one parameter passes `fresh=True`: otherwise an instance
    (and a configuration becomes one, when the layer is loaded again) would be shared by them all.

    Args:
        identifier: One of: a text as above; a configuration (what
            `keras.saving.serialize_keras_object` gives, or a dictionary with `class_name` and,
            optionally, `config`); a class; an instance or another callable; `None`.
        kind: Its kind, such as `"layer"` or `"activation"`.
        argument: The parameter's name for error messages; by default the kind.
        fresh: Whether an instance, too, is only a pattern, of which a new one is made.
        **defaults: Constructor arguments for a part that is made from a text or a class, as far
            as its constructor accepts them. A configuration is complete in itself.

    Returns:
        A fresh instance (or Keras's or the component's function) for a text, a configuration or a
        class; an instance or callable as it was given; for `None` the identity if an activation
        is asked for, else `None`.

    Raises:
        ValueError: If a text or a configuration names nothing of the kind.
        TypeError: If it is something else altogether.
        ComponentError: If the component was found but cannot be imported.

    Example:
        >>> from dl_techniques.core import resolve
        >>> resolve("LayerNormalization", kind="layer", argument="norm", epsilon=1e-6).epsilon
        1e-06
    """
    if kind not in _FAMILIES:
        raise ValueError(f"`kind` must be one of {', '.join(_FAMILIES)}. Received: kind={kind!r}")
    argument = argument or kind
    if identifier is None:
        return keras.activations.linear if kind == "activation" else None
    if isinstance(identifier, str):
        target = _named(identifier, kind, argument)
    elif isinstance(identifier, Mapping):
        config = _nameless(identifier) if fresh else identifier
        target, defaults = _configured(config, kind, argument), {}
    else:
        target = _copied(identifier, argument) if fresh else identifier
    return _finished(target, identifier, kind, argument, defaults)


def accepts(target: Callable[..., Any], name: str) -> bool:
    """Return whether a constructor (or function) takes an argument of that name.

    Follows `**kwargs` up the class hierarchy.

    Args:
        target: A class or function.
        name: The argument.
    """
    for function in _signatures(target):
        parameters = inspect.signature(function).parameters
        if name in parameters:
            return parameters[name].kind in {
                inspect.Parameter.KEYWORD_ONLY,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
            }
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            return False
    return False


def _signatures(target: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    if not isinstance(target, type):
        yield target
        return
    for base in target.__mro__[:-1]:
        if "__init__" in vars(base):
            yield vars(base)["__init__"]


def _named(text: str, kind: str, argument: str) -> Any:
    """The class or function that a text names."""
    own = None if ">" in text else _keras_own(text, kind)
    if own is not None:
        return own
    try:
        return registry.load(_component(text, kind))
    except (UnknownComponent, AmbiguousComponent) as error:
        names = [name for name in dir(_FAMILIES[kind][0]) if _keras_own(name, kind) is not None]
        similar = difflib.get_close_matches(text[:100], names)
        hint = f"\nOf Keras's own, the nearest are: {', '.join(similar)}." if similar else ""
        raise ValueError(f"{_expected(kind, argument, text)}\n{error}{hint}") from error
    except DLTechniquesError as error:
        error.add_note(f"It was given as `{argument}`.")
        raise


def _component(text: str, kind: str) -> str:
    """The identifier of the component that a text names, of the best kind that serves."""
    kinds = _FAMILIES[kind][2]
    for fitting in kinds:
        if any(_answers_to(entry, text) for entry in registry.list(kind=fitting)):
            return registry.find(text, kind=fitting).id
    return registry.find(text, kind=kinds[0]).id


def _answers_to(entry: Entry, text: str) -> bool:
    keys = (entry.id, *entry.aliases)
    return text in keys or any(key.partition(">")[2] == text for key in keys)


def _keras_own(name: str, kind: str) -> Any:
    """Return Keras's own class or function of a name, or `None`."""
    module, base, _ = _FAMILIES[kind]
    value = getattr(module, name, None)
    if _is_own(value, base, kind):
        return value
    # Lower-case names ("glorot_uniform", "mse") are known to Keras's getters only, which also look
    # into the process-wide dictionary of custom objects: their answer counts if it is Keras's own.
    getter = None if kind in {"layer", "schedule"} else getattr(module, "get", None)
    if getter is None:
        return None
    try:
        value = getter(name)
    except (ValueError, TypeError):
        return None
    value = type(value) if isinstance(value, base) else value
    return value if _is_own(value, base, kind) else None


def _is_own(value: Any, base: type, kind: str) -> bool:
    if isinstance(value, type):
        fits = issubclass(value, base) and value is not base
    else:
        fits = inspect.isfunction(value) and kind in {"activation", "loss", "metric"}
        fits = fits and value.__name__ not in {"get", "serialize", "deserialize"}
    return fits and str(value.__module__).partition(".")[0] == "keras"


def _configured(config: Mapping[str, Any], kind: str, argument: str) -> Any:
    """A fresh instance (or the function) from a configuration."""
    name = config.get("registered_name") or config.get("class_name")
    settings = config.get("config", {})
    if not isinstance(name, str):
        raise ValueError(
            f"`{argument}` as a dictionary must hold `class_name`. "
            f"Received: {argument}={dict(config)!r}"
        )
    if "module" not in config and name != "function":
        target = _named(name, kind, argument)
        if not isinstance(target, type):
            return target
        if not isinstance(settings, Mapping):
            raise ValueError(
                f"`config` in `{argument}` must be a dictionary. Received: {settings!r}"
            )
        return (
            target.from_config(_current(settings, []))
            if hasattr(target, "from_config")
            else (target(**settings))
        )
    unknown: list[UnknownComponent] = []
    try:
        return keras.saving.deserialize_keras_object(_current(config, unknown))
    except (TypeError, ValueError) as error:
        reasons = "\n".join(str(reason) for reason in (*unknown, error))
        raise ValueError(
            f"`{argument}` cannot be made from its configuration: {reasons}"
        ) from error


def _current(value: Any, unknown: list[UnknownComponent]) -> Any:
    """A configuration with every installed component that it names imported, under today's id."""
    if isinstance(value, list | tuple):
        return type(value)(_current(item, unknown) for item in value)
    if not isinstance(value, Mapping):
        return value
    current = {key: _current(item, unknown) for key, item in value.items()}
    # Keras keeps the name of a function in `config`.
    name_keys = (
        ("registered_name", "config")
        if value.get("class_name") == "function"
        else ("registered_name",)
    )
    for key in name_keys:
        name = value.get(key)
        if isinstance(name, str) and ">" in name and not _declared(name):
            try:
                current[key] = registry.find(name).id
                registry.load(current[key])
            except UnknownComponent as error:
                # Keras may still know it from a custom object scope; if not, this is the reason.
                unknown.append(error)
    return current


def _declared(name: str) -> bool:
    return keras.saving.get_registered_object(name) is not None


def _copied(value: Any, argument: str) -> Any:
    """A new instance with the same configuration, of a layer that has no weights yet."""
    if not isinstance(value, _LAYER):
        return value
    if value.weights:
        raise ValueError(
            f"`{argument}` is used more than once, so an instance must not have weights yet. "
            f"Received: {argument}={value!r}"
        )
    return type(value).from_config(_nameless({"config": value.get_config()})["config"])


def _nameless(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration that leaves the name to Keras: siblings of one name look alike."""
    settings = config.get("config")
    if not isinstance(settings, Mapping):
        return config
    return {**config, "config": {key: v for key, v in settings.items() if key != "name"}}


def _finished(value: Any, given: Any, kind: str, argument: str, defaults: Mapping[str, Any]) -> Any:
    """Instantiate a class, and check that the result is of the kind."""
    base = _FAMILIES[kind][1]
    if isinstance(value, type) and (issubclass(value, base) or _makes_callables(value)):
        settings = {key: item for key, item in defaults.items() if accepts(value, key)}
        try:
            value = value(**settings)
        except (TypeError, ValueError) as error:
            category = TypeError if isinstance(error, TypeError) else ValueError
            raise category(
                f"`{argument}` cannot be made without arguments of its own; give a configuration "
                f"or an instance. Received: {argument}={given!r} ({error})"
            ) from error
    if isinstance(value, base) or (callable(value) and not isinstance(value, type)):
        return value
    raise TypeError(_expected(kind, argument, given))


def _makes_callables(value: type) -> bool:
    return any("__call__" in vars(base) for base in value.__mro__)


def _expected(kind: str, argument: str, given: Any) -> str:
    return (
        f"`{argument}` must be the identifier or bare name of a component of kind {kind!r}, the "
        f"name of one of Keras's own, a configuration, a class, an instance, a callable or None. "
        f"Received: {argument}={given!r}"
    )
