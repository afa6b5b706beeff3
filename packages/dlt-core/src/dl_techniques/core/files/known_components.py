"""The components that names in a model file may mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dl_techniques.core.contract.component import declaration_of
from dl_techniques.core.entry import Entry
from dl_techniques.core.errors import UnknownComponent
from dl_techniques.core.registry.registry import registry


class KnownComponents:
    """The components of installed distributions, and those that this program declares.

    Args:
        objects: Identifier -> class or function that this program declares itself.
    """

    def __init__(self, objects: Mapping[str, Any] | None = None) -> None:
        self.objects: dict[str, Any] = {}
        """Identifier -> object, for components that only this program declares."""
        self._own: dict[str, Entry] = {}
        listed = registry.list()
        ids = {entry.id for entry in listed}
        for name, target in (objects or {}).items():
            declaration = declaration_of(target)
            if declaration is not None and declaration.id == name and name not in ids:
                self.objects[name] = target
                entry = _entry(declaration, target)
                self._own.update(dict.fromkeys((name, *declaration.aliases), entry))
        own = [self._own[name] for name in self.objects]
        self.names = _index([*listed, *own])
        """Identifier, alias or bare name -> the entries that answer to it."""

    def find(self, id: str) -> Entry:
        """Return the entry of an identifier or alias.

        Args:
            id: The identifier.

        Raises:
            ComponentError: If it is unknown or ambiguous.
        """
        try:
            return registry.find(id)
        except UnknownComponent:
            if id in self._own:
                return self._own[id]
            raise

    def load(self, entry: Entry) -> Any:
        """Return the class or function of an entry; imports the module that its manifest names.

        Args:
            entry: A component.

        Raises:
            ComponentError: If it cannot be imported, or contradicts its manifest.
        """
        return registry.load(entry.id) if entry.distribution else self.objects[entry.id]


def installed() -> KnownComponents:
    """Return the components of installed distributions; imports nothing."""
    return KnownComponents()


def installed_and_declared() -> KnownComponents:
    """Return also the components that this program declares itself; imports Keras."""
    import keras

    return KnownComponents(keras.saving.get_custom_objects())


def _entry(declaration: Any, target: Any) -> Entry:
    return Entry(
        **declaration._asdict(),
        object=f"{target.__module__}:{target.__qualname__}",
        summary="",
        distribution="",
        version="",
        location=target.__module__,
    )


def _index(entries: Iterable[Entry]) -> dict[str, tuple[Entry, ...]]:
    index: dict[str, dict[Entry, None]] = {}
    for entry in entries:
        for key in (entry.id, *entry.aliases):
            for name in (key, key.partition(">")[2]):
                index.setdefault(name, {})[entry] = None
    return {name: tuple(found) for name, found in index.items()}
