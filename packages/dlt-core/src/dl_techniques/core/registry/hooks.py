"""The hooks by which a plugin adds behaviour.

A plugin is a module (or object) that an entry point of the group `dl_techniques.plugins` names.
It implements any of these functions and marks each with `hookimpl`:

```python
from dl_techniques.core import hookimpl

@hookimpl
def dl_model_saved(path, provenance):
    print("saved", path)
```

An implementation may leave out parameters that it does not use. Plugins are called one at a
time; whatever one of them raises becomes a `Problem` and affects no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    import argparse

    from dl_techniques.core.entry import Problem

PROJECT: Final = "dl_techniques"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@hookspec
def dl_migrate_config(
    id: str, config: dict[str, Any], stored: str, current: str
) -> dict[str, Any] | None:
    """Bring the configuration of a component from an earlier version up to date.

    Only the answer of the distribution that provides the component counts.

    Args:
        id: The component's identifier.
        config: Its stored configuration; a copy, so it may be changed.
        stored: The version of the distribution that saved it.
        current: The version that is installed.

    Returns:
        The configuration for the installed version, or `None` to leave it as it is.
    """


@hookspec
def dl_model_saved(path: str, provenance: Mapping[str, Any]) -> None:
    """Called after a model was saved and its file is in place.

    Args:
        path: The file.
        provenance: The file's own claim about its components' origin.
    """


@hookspec
def dl_model_loaded(model: Any, provenance: Mapping[str, Any]) -> None:
    """Called after a model was loaded.

    Args:
        model: The `keras.Model`.
        provenance: The file's own claim about its components' origin: untrusted text.
    """


@hookspec
def dl_doctor() -> Iterable[Problem]:  # type: ignore[empty-body]  # a signature
    """Called by `dl-techniques doctor`.

    Returns:
        What is wrong with the plugin's installation or surroundings.
    """


@hookspec
def dl_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add commands to `dl-techniques`.

    Args:
        subparsers: Where to add parsers. A command sets `func`, which takes the parsed
            arguments and returns the exit code, with `set_defaults`.
    """


@hookspec
def dl_list_columns(ids: tuple[str, ...]) -> Mapping[str, Mapping[str, str]]:  # type: ignore[empty-body]  # a signature
    """Called by `dl-techniques list --kind model`.

    Args:
        ids: Identifiers of the components that are listed.

    Returns:
        Heading of a column -> identifier -> text.
    """
