"""The registry: what is installed, and how to get at it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dl_techniques.core.__about__ import CONTRACT
from dl_techniques.core.contract.identifier import KINDS
from dl_techniques.core.entry import Entry, Problem
from dl_techniques.core.errors import (
    AmbiguousComponent,
    ComponentError,
    ComponentImportError,
    ContractMismatch,
    RegistryProblems,
    UnknownComponent,
)
from dl_techniques.core.lazy import import_address
from dl_techniques.core.registry.conflicts import Claims, claim, describe_claimants
from dl_techniques.core.registry.discovery import (
    ALLOWED_VARIABLE,
    DISABLED_VARIABLE,
    discover,
    forget_folders,
    normalize,
)
from dl_techniques.core.registry.listing import Listing
from dl_techniques.core.text import describe_error

if TYPE_CHECKING:
    from dl_techniques.core.registry.plugins import Plugins

STRICT_VARIABLE = "DL_TECHNIQUES_STRICT"


class _Snapshot(NamedTuple):
    """The result of one look at the installed distributions."""

    claims: Claims
    problems: tuple[Problem, ...]
    newer: frozenset[str]
    files: frozenset[str]
    """The manifests that were looked at."""
    fingerprint: object


class Registry:
    """The components of all installed distributions.

    Listing reads manifests and imports nothing. Its result is kept until a folder on the
    path, a manifest or a narrowing variable changes; what was *not* found is never kept: a
    component that was installed a moment ago is found.

    All methods may be called from several threads.

    Args:
        path: Folders to look in instead of all that an import would search. For tests: what is
            loaded must still be importable.

    Example:
        >>> from dl_techniques.core import registry
        >>> sorted(registry.list(kind="layer", tag="no such tag"))
        []
    """

    def __init__(self, path: Sequence[str] | None = None) -> None:
        self._path = None if path is None else tuple(os.fspath(folder) for folder in path)
        self._lock = threading.RLock()
        self._snapshot: _Snapshot | None = None
        self._plugins: Plugins | None = None
        self._import_problems: dict[str, Problem] = {}

    def list(
        self,
        *,
        kind: str | None = None,
        tag: str | None = None,
        distribution: str | None = None,
        search: str | None = None,
    ) -> Listing:
        """The installed components, sorted by identifier; every filter narrows.

        Args:
            kind: One of `dl_techniques.core.KINDS`.
            tag: A word that the component is tagged with.
            distribution: The distribution that provides it.
            search: Words that must all occur in identifier, summary, tags, paper or aliases.

        Returns:
            The entries; it shows itself as a table.

        Raises:
            TypeError: If a filter is not a text.
            ValueError: If `kind` is not a kind.
            RegistryProblems: If there are problems and `DL_TECHNIQUES_STRICT` is set.
        """
        _require_texts(tag=tag, distribution=distribution, search=search)
        _require_kind(kind)
        entries: Iterable[Entry] = self._current().claims.entries
        owner = None if distribution is None else normalize(distribution)
        words = (search or "").casefold().split()
        return Listing(
            entry
            for entry in entries
            if (kind is None or entry.kind == kind)
            and (tag is None or tag in entry.tags)
            and (owner is None or normalize(entry.distribution) == owner)
            and (not words or _mentions(entry, words))
        )

    def find(self, id: str, *, kind: str | None = None) -> Entry:
        """Return a component's entry without importing it.

        Args:
            id: Its identifier, one of its aliases, or its bare name if that is unique.
            kind: Consider only components of this kind.

        Raises:
            TypeError: If `id` is not a text.
            UnknownComponent: If nothing installed answers to it; names what resembles it.
            AmbiguousComponent: If several answer to it; names them all.
            ContractMismatch: If it was made for a later core.
            RegistryProblems: If there are problems and `DL_TECHNIQUES_STRICT` is set.
        """
        if not isinstance(id, str):
            raise TypeError(f"`id` must be a text. Received: id={id!r}")
        _require_kind(kind)
        matches = self._current().claims.matches(id, kind)
        if not matches:
            matches = self._current(again=True).claims.matches(id, kind)
        if not matches:
            raise self._unknown(id, kind)
        if len(matches) > 1:
            raise AmbiguousComponent(
                f"{id!r} is ambiguous. It is claimed by:\n{describe_claimants(matches)}\n"
                "Ask for one by its full identifier, or uninstall a distribution that claims "
                "another's.",
                id=id,
                candidates=matches,
            )
        self._require_known_contract(matches[0])
        return matches[0]

    def load(self, id: str) -> Any:
        """The component itself: its class or function.

        Imports the object that the manifest declares, and checks that it declares the same.

        Args:
            id: Its identifier, one of its aliases, or its bare name if that is unique.

        Raises:
            ComponentImportError: If importing it fails, whatever it raises; the cause is chained.
            ContractMismatch: If the object contradicts its manifest.
            UnknownComponent: See `find`.
            AmbiguousComponent: See `find`.
        """
        entry = self.find(id)
        target = self._import(entry)
        try:
            _require_same_declaration(entry, target)
        except ComponentError:
            raise
        except Exception as error:  # what is asked of a foreign object may run foreign code
            raise ContractMismatch(
                f"{entry.id} of {entry.distribution} {entry.version} is no component: looking at "
                f"{entry.object} fails with {describe_error(error)}",
                id=entry.id,
                distribution=entry.distribution,
            ) from error
        return target

    def create(self, id: str, /, **config: Any) -> Any:
        """An instance of a component.

        Args:
            id: Its identifier, one of its aliases, or its bare name if that is unique.
            **config: Arguments of its constructor.

        Raises:
            TypeError: If the component is a function.
            ComponentError: See `load`.
        """
        target = self.load(id)
        if not isinstance(target, type):
            raise TypeError(
                f"`id` must name a class. {id!r} is a function, which `load` returns. "
                f"Received: id={id!r}"
            )
        return target(**config)

    def refresh(self) -> None:
        """Forget everything, so that the next call looks again and plugins load again."""
        forget_folders()
        with self._lock:
            self._snapshot = None
            self._plugins = None
            self._import_problems.clear()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems so far, of manifests, imports and the plugins that were asked."""
        found = self._take_snapshot(again=False).problems
        if self._plugins is not None:
            found += self._plugins.problems
        return found + tuple(self._import_problems.values())

    @property
    def plugins(self) -> Plugins:
        """The plugins that add behaviour; imports them on first use."""
        loaded = self._plugins
        if loaded is None:
            from dl_techniques.core.registry.plugins import Plugins

            # No lock while foreign code is imported: it may import from another thread, or ask
            # the registry itself. Two threads may both load; modules are imported once anyhow.
            loaded = self._plugins = Plugins(self._path)
        return loaded

    def _current(self, *, again: bool = False) -> _Snapshot:
        snapshot = self._take_snapshot(again=again)
        if snapshot.problems and os.environ.get(STRICT_VARIABLE, "0") not in {"", "0"}:
            raise RegistryProblems(snapshot.problems)
        return snapshot

    def _take_snapshot(self, *, again: bool) -> _Snapshot:
        with self._lock:
            known = self._snapshot
            if known is not None and not again and known.fingerprint == self._look(known.files):
                return known
            if again:
                forget_folders()
            found = discover(self._path)
            claims = claim(found.entries)
            self._snapshot = _Snapshot(
                claims,
                found.problems + claims.problems,
                found.newer,
                found.files,
                self._look(found.files),
            )
            return self._snapshot

    def _look(self, files: frozenset[str]) -> object:
        """Return the state that a snapshot depends on, cheap enough to compare at each call."""
        folders = tuple(sys.path) if self._path is None else self._path
        variables = tuple(os.environ.get(name) for name in (ALLOWED_VARIABLE, DISABLED_VARIABLE))
        return folders, variables, [_modified(file) for file in (*folders, *sorted(files))]

    def _import(self, entry: Entry) -> Any:
        try:
            target = import_address(entry.object)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an import runs foreign code
            cause = describe_error(error)
            self._import_problems[entry.id] = Problem(
                entry.distribution, "import", f"{entry.id}: {cause}", entry.object
            )
            raise ComponentImportError(
                f"{entry.id} cannot be imported: {entry.object} of {entry.distribution} "
                f"{entry.version} fails with {cause}",
                id=entry.id,
                distribution=entry.distribution,
            ) from error
        self._import_problems.pop(entry.id, None)
        return target

    def _require_known_contract(self, entry: Entry) -> None:
        snapshot = self._snapshot
        newer_layout = snapshot is not None and entry.location in snapshot.newer
        if entry.contract > CONTRACT or newer_layout:
            what = f"contract {entry.contract}" if entry.contract > CONTRACT else "a newer schema"
            raise ContractMismatch(
                f"{entry.id} of {entry.distribution} {entry.version} was made for {what}; this "
                f"core speaks contract {CONTRACT}. Upgrade it: pip install -U 'dlt-core>=0.1,<1'",
                id=entry.id,
                distribution=entry.distribution,
            )

    def _unknown(self, id: str, kind: str | None) -> UnknownComponent:
        from dl_techniques.core.registry.suggestions import unknown_component

        entries = self._take_snapshot(again=False).claims.entries
        return unknown_component(id, kind, entries, self.problems)


def _require_same_declaration(entry: Entry, target: Any) -> None:
    import keras

    from dl_techniques.core.contract.component import declaration_of, register_waiting

    register_waiting(entry.id)
    declaration = declaration_of(target)
    if declaration is None:
        fault = "is not declared with @component"
    elif (declaration.id, declaration.kind, declaration.unsafe) != (
        entry.id,
        entry.kind,
        entry.unsafe,
    ):
        fault = (
            f"declares id={declaration.id!r}, kind={declaration.kind!r}, "
            f"unsafe={declaration.unsafe}; the manifest has kind={entry.kind!r}, "
            f"unsafe={entry.unsafe}"
        )
    elif keras.saving.get_registered_name(target) != entry.id:
        fault = f"is registered with Keras as {keras.saving.get_registered_name(target)!r}"
    else:
        return
    raise ContractMismatch(
        f"{entry.id} of {entry.distribution} {entry.version} contradicts its manifest "
        f"{entry.location}: {entry.object} {fault}",
        id=entry.id,
        distribution=entry.distribution,
    )


def _require_texts(**arguments: object) -> None:
    for name, value in arguments.items():
        if value is not None and not isinstance(value, str):
            raise TypeError(f"`{name}` must be a text. Received: {name}={value!r}")


def _require_kind(kind: object) -> None:
    _require_texts(kind=kind)
    if kind is not None and kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: kind={kind!r}")


def _mentions(entry: Entry, words: Iterable[str]) -> bool:
    text = " ".join((entry.id, entry.summary, *entry.tags, entry.paper or "", *entry.aliases))
    text = text.casefold()
    return all(word in text for word in words)


def _modified(file: str) -> int | None:
    try:
        return Path(file).stat().st_mtime_ns
    except (OSError, TypeError, ValueError):  # `sys.path` may hold anything
        return None


registry = Registry()
"""The registry of this process."""
