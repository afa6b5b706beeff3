"""How a name in a model file finds its component."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from dl_techniques.core.contract.component import declaration_of
from dl_techniques.core.entry import Entry
from dl_techniques.core.errors import UnknownComponent
from dl_techniques.core.registry.registry import registry


class Lookup(NamedTuple):
    """What `audit` asks about names."""

    resolve: Callable[[str], Entry]
    """Identifier -> its entry; raises a `ComponentError`."""
    names: Mapping[str, tuple[Entry, ...]]
    """Identifier, alias or bare name -> the entries that answer to it."""
    objects: Mapping[str, Any]
    """Identifier -> the object, for components that only this program declares."""


def installed() -> Lookup:
    """The components of installed distributions; imports nothing."""
    return Lookup(functools.partial(registry.find, dynamic=False), _index(registry.list()), {})


def known() -> Lookup:
    """The same, and what this program declared itself or plugins make; imports Keras."""
    import keras

    objects: dict[str, Any] = {}
    own: dict[str, Entry] = {}
    for name, target in keras.saving.get_custom_objects().items():
        declaration = declaration_of(target)
        if declaration is not None and declaration.id == name:
            address = f"{target.__module__}:{target.__qualname__}"
            entry = Entry(
                **declaration._asdict(),
                object=address,
                summary="",
                distribution="",
                version="",
                location=target.__module__,
            )
            objects[name] = target
            own.update(dict.fromkeys((name, *declaration.aliases), entry))

    def resolve(id: str) -> Entry:
        try:
            return registry.find(id, dynamic=False)
        except UnknownComponent:
            if id in own:
                return own[id]
        return registry.find(id)

    entries = registry.list()
    listed = {entry.id for entry in entries}
    local = [own[name] for name in objects if name not in listed]
    return Lookup(resolve, _index([*entries, *local]), objects)


def _index(entries: Iterable[Entry]) -> dict[str, tuple[Entry, ...]]:
    index: dict[str, tuple[Entry, ...]] = {}
    for entry in entries:
        for key in (entry.id, *entry.aliases):
            for name in (key, key.partition(">")[2]):
                if entry not in index.get(name, ()):
                    index[name] = (*index.get(name, ()), entry)
    return index
