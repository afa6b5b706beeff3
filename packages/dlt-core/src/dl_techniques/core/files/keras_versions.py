"""Files of a newer Keras on an older one, and of an older one on a newer.

Keras promises nothing here: its constructors refuse arguments that they do not know. Most of
these hold their default, which says the same as their absence, so they are left out. An
argument that would change the model is a problem that names the Keras it needs; nothing is dropped
silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.archive import CONFIG
from dl_techniques.core.files.config_walk import Builtin, is_operation
from dl_techniques.core.files.keras_builtins import keras_builtins

_MAJOR: Final = 3
# Before it, a functional model with one input was stored like one with a list of one input.
_ONE_TENSOR_IS_NO_LIST: Final = (3, 11)


def version_key(text: str) -> tuple[int, ...]:
    """Return a version for comparisons.

    Args:
        text: Such as `"3.15.1"`; a suffix such as `.dev0` or `rc1` is left out.

    Example:
        >>> version_key("3.8.0") < version_key("3.15.1")
        True
    """
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def least_keras(items: tuple[Builtin, ...]) -> str:
    """Return the earliest of the known Keras releases that can build these.

    Args:
        items: The built-ins that a configuration names.
    """
    table = keras_builtins()
    needed = [table.versions[0]]
    for item in items:
        needed.append(table.classes.get(item.name, table.versions[0]))
        needed += [since for _, since, default in _later(item) if not default]
    return max(needed, key=version_key)


def adapt(items: tuple[Builtin, ...], *, label: str, running: str) -> list[ModelFileError]:
    """Leave out, in place, the arguments that this Keras does not know and need not know.

    Classes are also put under their public modules, as `builtins.public_name` says.

    Args:
        items: The built-ins that the configuration names.
        label: The file's name in messages.
        running: The version of the Keras that is installed.

    Returns:
        The problems: what this Keras cannot do.
    """
    current = version_key(running)
    problems = []
    for item in items:
        if item.node["class_name"] != "function":
            item.node["module"] = item.name.rpartition(".")[0]
        since = keras_builtins().classes.get(item.name)
        if since is not None and version_key(since) > current:
            problems.append(_too_new(f"holds {item.name}", since, item.location, label, running))
            continue
        for key, version, default in [*_later(item)]:
            if version_key(version) <= current:
                continue
            if default:
                del item.node["config"][key]
            else:
                what = f"sets {key} of {item.name}"
                problems.append(_too_new(what, version, item.location, label, running))
    return problems


def unwrap_single_tensors(nodes: Iterable[dict[str, Any]], *, stored: str) -> None:
    """Say, in place, that one tensor is meant where Keras before 3.11 stored a list of one.

    The Keras that wrote the file read it so; later ones build a model that takes and gives lists.

    Args:
        nodes: The objects of the configuration.
        stored: The version that wrote the file.
    """
    if version_key(stored) >= _ONE_TENSOR_IS_NO_LIST:
        return
    for node in nodes:
        config = node.get("config")
        if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
            continue
        for key in ("input_layers", "output_layers"):
            tensors = config.get(key)
            if isinstance(tensors, list) and len(tensors) == 1:
                config[key] = tensors[0]


def too_new(stored: str, *, label: str) -> ModelFileError | None:
    """Return the problem of a file of another major version of Keras.

    Args:
        stored: The version that wrote it.
        label: The file's name in messages.
    """
    key = version_key(stored)
    if key and key[0] == _MAJOR:
        return None
    return ModelFileError(
        f"was written by Keras {stored}; files of Keras {_MAJOR} are read.",
        path=label,
        member="metadata.json",
        location="keras_version",
        hint="Save the model again with Keras 3.",
    )


def _later(item: Builtin) -> list[tuple[str, str, bool]]:
    """Return arguments that came later: name, first version, whether each holds its default."""
    config = item.node.get("config")
    if not isinstance(config, dict):
        return []
    return [
        (key, since, _is_default(item.name, key, config[key], default))
        for key, (since, default) in keras_builtins().added.get(item.name, {}).items()
        if key in config
    ]


def _is_default(name: str, key: str, value: Any, default: Any) -> bool:
    if key == "name" and is_operation(name):
        return True  # a label only: the graph refers to the name beside `config`
    # A switch that was left alone is stored as false.
    return bool(value == default or (default is None and value is False))


def _too_new(what: str, since: str, location: str, label: str, running: str) -> ModelFileError:
    return ModelFileError(
        f"{what}, which needs Keras {since} or later; this is Keras {running}.",
        path=label,
        member=CONFIG,
        location=location,
        hint=f"Upgrade Keras: pip install 'keras>={since},<4'",
    )
