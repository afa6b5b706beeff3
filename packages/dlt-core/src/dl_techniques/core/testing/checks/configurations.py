"""Configurations: complete, made of JSON, and enough to make an equal instance."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from dl_techniques.core.contract.config import Configurable
from dl_techniques.core.testing.check import ANY, NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject

# Keras stores these for every object, or derives them.
_NOT_STORED = frozenset({"self", "args", "kwargs", "activity_regularizer", "autocast", "dtype"})


def _require_class(subject: Subject) -> None:
    if not subject.is_class:
        raise NotApplicable("a function has no configuration")


@check(kinds=ANY)
def config_round_trip(subject: Subject) -> None:
    """`from_config(get_config())` through JSON gives an instance with an equal configuration."""
    _require_class(subject)
    instance = subject.create()
    config = instance.get_config()
    try:
        plain = json.loads(json.dumps(config, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"the configuration is not JSON: {error}") from error
    foreign = next(_foreign_keys(config), None)
    require(foreign is None, f"the configuration has the key {foreign!r}; JSON's are texts")
    # A copy: some classes take their configuration apart while they read it.
    again = subject.cls.from_config(json.loads(json.dumps(plain)))
    require(type(again) is subject.cls, f"from_config gives a {type(again).__name__}")
    returned = json.loads(json.dumps(again.get_config()))
    changed = [key for key in plain if _plain(plain[key]) != _plain(returned.get(key))]
    changed += [key for key in returned if key not in plain]
    require(not changed, f"changed by a round trip: {', '.join(changed)}")


def _foreign_keys(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (key for key in value if not isinstance(key, str))
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _foreign_keys(item)


@check(kinds=ANY)
def config_complete(subject: Subject) -> None:
    """Every argument of the constructor stands in the configuration, with the value given."""
    _require_class(subject)
    config = subject.create().get_config()
    signature = inspect.signature(subject.cls.__init__)
    named = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    # A foreign class may leave out what holds its default; a derived configuration never does.
    derived = issubclass(subject.cls, Configurable)
    wanted = [*(named if derived else ()), *subject.example.config]
    left_out = _NOT_STORED | getattr(subject.cls, "transient", frozenset())
    missing = sorted({name for name in wanted if name not in config} - left_out)
    require(not missing, f"not in the configuration: {', '.join(missing)}")
    _require_stored(config, subject.example.config)
    for name, value in subject.given.items():
        same = subject.example.config[name] == value
        require(same, f"the constructor changes what it is given as `{name}`")


@check(kinds=ANY)
def config_keeps_values(subject: Subject) -> None:
    """Each switch, number or seed that is given another value is stored, and comes back."""
    _require_class(subject)
    tried = 0
    for name, value in _alternatives(subject):
        try:
            config = subject.create(**{name: value}).get_config()
        except (ValueError, TypeError):
            continue  # the constructor refuses this value, as it may
        require(name in config, f"{name}={value!r} is not in the configuration")
        _require_stored(config, {name: value})
        again = subject.cls.from_config(json.loads(json.dumps(config))).get_config()
        require(name in again, f"{name}={value!r} is lost by from_config")
        _require_stored(again, {name: value})
        tried += 1
    if not tried:
        raise NotApplicable("it has no switch, number or seed that could be changed alone")


def _alternatives(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Values of another kind than the default's are left alone: they may mean something else."""
    for parameter in inspect.signature(subject.cls.__init__).parameters.values():
        name, default = parameter.name, parameter.default
        if name in _NOT_STORED or name in subject.example.config or name == "name":
            continue
        if isinstance(default, bool):
            yield name, not default
        elif isinstance(default, int):
            yield name, default + 1
        elif isinstance(default, float):
            yield name, default / 2 if default else 0.125
        elif name == "seed" and default is None:
            yield name, 7


def _require_stored(config: dict[str, Any], given: Mapping[str, Any]) -> None:
    scalar = str | int | float | bool | None
    for name, value in given.items():
        stored = config[name]
        if isinstance(value, scalar) and isinstance(stored, scalar):
            require(_same(stored, value), f"{name}={value!r} is stored as {stored!r}")


def _same(stored: Any, given: Any) -> bool:
    if isinstance(stored, float) and isinstance(given, float):
        return math.isclose(stored, given, rel_tol=1e-6)  # optimizers keep numbers in float32
    return bool(stored == given)


@check(kinds=ANY)
def keras_round_trip(subject: Subject) -> None:
    """Keras's own serialization through JSON gives an instance of the same class."""
    _require_class(subject)
    if subject.kind == "callback":
        raise NotApplicable("Keras does not serialize callbacks")
    serialized = keras.saving.serialize_keras_object(subject.create())
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(serialized)))
    require(type(again) is subject.cls, f"Keras brings back a {type(again).__name__}")


def _plain(value: Any) -> Any:
    """A value without names that Keras generates and shapes that building adds."""
    if isinstance(value, dict):
        drop = {"build_config", "name"} if "class_name" in value else {"name"}
        return {key: _plain(item) for key, item in value.items() if key not in drop}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
