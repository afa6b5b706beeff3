"""Loading the plugins that add behaviour, and calling their hooks, one at a time.

pluggy's own entry-point loader stops at the first plugin that fails, and its hook calls lose
the answers of all plugins when one raises. Here each plugin has a plugin manager of its own,
and every load and every call is guarded: a fault is a `Problem` and stops nothing.
"""

from __future__ import annotations

import copy
import importlib
import itertools
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from typing import Any, Final, NamedTuple

import pluggy

from dl_techniques.core.entry import Problem, guarded
from dl_techniques.core.registry import hooks
from dl_techniques.core.registry.discovery import PLUGINS_GROUP, Provider, find_providers

_NAME = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_VALUE: Final = re.compile(rf"({_NAME})\s*(?::\s*({_NAME}))?", re.ASCII)
_MAX_ANSWERS: Final = 10_000
"""How many items of an iterable answer are taken: a generator may have no end."""


class Plugin(NamedTuple):
    """One loaded entry point."""

    provider: Provider
    entry_point: EntryPoint
    manager: pluggy.PluginManager
    """A manager that knows this plugin only."""

    @property
    def distribution(self) -> str:
        """The distribution that it comes from."""
        return self.provider.name

    @property
    def module(self) -> str:
        """The module that its entry point names."""
        return re.split(r"[\s:]", self.entry_point.value)[0]

    @property
    def location(self) -> str:
        """Its entry point and the metadata folder that states it, for messages."""
        return f"{self.entry_point.name} = {self.entry_point.value}, {self.provider.location}"


class Answer(NamedTuple):
    """One plugin's answer to a hook."""

    plugin: Plugin
    value: Any


class Plugins:
    """The plugins of all installed distributions.

    Args:
        path: Folders to look in instead of `sys.path`.
    """

    def __init__(self, path: Sequence[str] | None = None) -> None:
        self._loading: list[Problem] = []
        self._calling: dict[tuple[str, str], Problem] = {}
        self._plugins: list[Plugin] = []
        for provider in find_providers(path)[0]:
            for entry_point in provider.entry_points:
                if entry_point.group == PLUGINS_GROUP:
                    self._load(provider, entry_point)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems of loading plugins, and of each hook's latest call."""
        return (*self._loading, *self._calling.values())

    def __iter__(self) -> Iterator[Plugin]:
        return iter(tuple(self._plugins))

    def __len__(self) -> int:
        return len(self._plugins)

    def call(self, hook: str, **arguments: Any) -> list[Answer]:
        """Call one hook of every plugin that implements it.

        Args:
            hook: The name of the hook, such as `"dl_doctor"`.
            **arguments: All of the hook's arguments. Each plugin gets its own copy of a
                dictionary.

        Returns:
            The answers other than `None`, in the order of the plugins.
        """
        answers: list[Answer] = []
        for plugin in tuple(self._plugins):
            self._calling.pop((hook, plugin.location), None)
            caller = getattr(plugin.manager.hook, hook)
            if not caller.get_hookimpls():
                continue
            problems: list[Problem] = []
            with guarded(
                problems, plugin.distribution, "hook", plugin.location, f"{hook} failed: "
            ):
                own = {
                    name: copy.deepcopy(value) if isinstance(value, dict) else value
                    for name, value in arguments.items()
                }
                values = [_CHECKS[hook](value) for value in caller(**own)]
                answers += [Answer(plugin, value) for value in values if value is not None]
            self._calling.update(((hook, plugin.location), problem) for problem in problems)
        return answers

    def _load(self, provider: Provider, entry_point: EntryPoint) -> None:
        manager = pluggy.PluginManager(hooks.PROJECT)
        manager.add_hookspecs(hooks)
        plugin = Plugin(provider, entry_point, manager)
        with guarded(self._loading, plugin.distribution, "plugin", plugin.location):
            match = _VALUE.fullmatch(entry_point.value)
            if match is None:
                raise ValueError("the value must read `module` or `module:object`")
            module = importlib.import_module(match[1])
            target = operator.attrgetter(match[2])(module) if match[2] else module
            manager.register(target, name=entry_point.name)
            implemented = manager.get_hookcallers(target) or []
            known = [caller for caller in implemented if caller.spec is not None]
            for caller in implemented:
                if caller not in known:
                    self._report(plugin, f"there is no hook named {caller.name!r}")
            if not implemented:
                self._report(plugin, "it implements no hook; mark functions with `hookimpl`")
            if known:
                self._plugins.append(plugin)

    def _report(self, plugin: Plugin, message: str) -> None:
        self._loading.append(Problem(plugin.distribution, "plugin", message, plugin.location))


def _items(value: Any) -> list[Any]:
    """All items of an iterable answer, taken under the guard of the call."""
    if isinstance(value, str | bytes):
        raise TypeError(f"expected an iterable of objects. Received: {value[:80]!a}")
    items = list(itertools.islice(value, _MAX_ANSWERS + 1))
    if len(items) > _MAX_ANSWERS:
        raise ValueError(f"expected at most {_MAX_ANSWERS} items")
    return items


def _problems(value: Any) -> list[Problem]:
    items = _items(value)
    for item in items:
        if not isinstance(item, Problem):
            raise TypeError(f"expected `Problem`s. Received: {type(item).__name__}")
    return items


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected a dictionary or None. Received: {type(value).__name__}")
    return value


def _columns(value: Any) -> Any:
    """Column -> identifier -> text."""
    for name, column in _mapping(value or {}).items():
        texts = isinstance(column, dict) and all(isinstance(x, str) for x in column.values())
        if not isinstance(name, str) or not texts:
            raise TypeError("the answer must be an object of objects of texts")
    return value


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "dl_migrate_config": _mapping,
    "dl_model_saved": lambda value: value,
    "dl_model_loaded": lambda value: value,
    "dl_doctor": _problems,
    "dl_commands": lambda value: value,
    "dl_list_columns": _columns,
}
