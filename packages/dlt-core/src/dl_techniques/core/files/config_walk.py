"""What a model's configuration names: every object is collected, resolved and judged.

A configuration is a tree in which any object with a `class_name` makes Keras look something up.
Keras finds it by the `module` that the file names, or by a registered name that may say another
thing than the class name beside it. Here an object is acceptable only if it is on the list of
Keras's own built-ins, or if an installed distribution declares its identifier; the `module` of
the file is never imported, and the three names must agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from dl_techniques.core.contract.identifier import parse_identifier
from dl_techniques.core.entry import Entry
from dl_techniques.core.errors import DLTechniquesError, ModelFileError
from dl_techniques.core.files import tensor_nodes as constants
from dl_techniques.core.files.archive import CONFIG
from dl_techniques.core.files.keras_builtins import (
    NEVER,
    OPERATIONS,
    READS_VOCABULARY,
    RUNS_CODE,
    VOCABULARY_KEYS,
    builtins,
    class_names,
    function_names,
    public_name,
)
from dl_techniques.core.files.limits import LIMITS, Limits
from dl_techniques.core.text import short_repr

Resolve = Callable[[str], Entry]
"""Identifier -> its entry; raises a `ComponentError` if there is none, or more than one."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_IDENTIFIER: Final = re.compile(rf"[A-Za-z][A-Za-z0-9_.-]{{0,63}}>{_NAME.pattern}")
_SLOT: Final = re.compile(
    r"(.*_)?(activation|initializer|regularizer|constraint|loss|metrics|optimizer|norm|ffn)"
)
_KERAS: Final = ("keras", "tensorflow", "builtins", "numpy")
_OPT_IN: Final = "If you trust whoever made the file as much as a script, pass `allow_unsafe=True`."
_ASK: Final = "Ask whoever made the file for one that holds declared components only."
_LARGEST: Final = 1 << 63
_DONE: Final = object()


class Use(NamedTuple):
    """One place at which a configuration names a component."""

    id: str
    """The identifier as the file has it, which may be an alias."""
    location: str
    class_name: str | None
    """The class name beside it; `None` where the identifier stands alone."""
    entry: Entry | None
    """What it resolves to; `None` if that is a problem, or if the caller gave the object."""
    node: dict[str, Any] | None
    """The object of the configuration; `None` for a bare text."""


class Builtin(NamedTuple):
    """One place at which a configuration names one of Keras's own."""

    name: str
    """`module.Name`."""
    location: str
    node: dict[str, Any]


class Audit(NamedTuple):
    """Everything that a configuration names."""

    uses: tuple[Use, ...]
    builtins: tuple[Builtin, ...]
    texts: frozenset[str]
    """Every text by which Keras could look something up."""
    unsafe: tuple[str, ...]
    """What in it can run code of the file's choosing; empty unless the caller opted in."""
    problems: tuple[ModelFileError, ...]


def audit(
    config: Any,
    *,
    label: str,
    resolve: Resolve,
    index: Mapping[str, Collection[Entry]],
    given: Collection[str] = (),
    allow_unsafe: bool = False,
    limits: Limits = LIMITS,
) -> Audit:
    """Walk a configuration.

    Args:
        config: The parsed `config.json`.
        label: How messages call the model file.
        resolve: How to find a component by its identifier.
        index: What texts may mean: identifier, alias or bare name -> entries.
        given: Names of the objects that the caller provides himself.
        allow_unsafe: Whether to accept what can run code of the file's choosing.
        limits: The bounds.

    Returns:
        What was found. Nothing is raised: all findings are in `problems`.
    """
    walk = _Walk(label, resolve, index, frozenset(given), allow_unsafe, limits)
    walk.run(config)
    return Audit(
        tuple(walk.uses),
        tuple(walk.builtins),
        frozenset(walk.texts),
        tuple(dict.fromkeys(walk.unsafe)),
        tuple(walk.problems),
    )


class _Walk:
    """One walk through one configuration."""

    def __init__(
        self,
        label: str,
        resolve: Resolve,
        index: Mapping[str, Collection[Entry]],
        given: frozenset[str],
        allow_unsafe: bool,
        limits: Limits,
    ) -> None:
        self._label = label
        self._resolve = resolve
        self._index = index
        self._given = given
        self._allow_unsafe = allow_unsafe
        self._limits = limits
        self._resolved: dict[str, Entry | DLTechniquesError] = {}
        self.uses: list[Use] = []
        self.builtins: list[Builtin] = []
        self.texts: set[str] = set()
        self.unsafe: list[str] = []
        self.problems: list[ModelFileError] = []

    def run(self, config: Any) -> None:
        keys = {"class_name": str, "config": dict}
        if not isinstance(config, dict) or not all(
            isinstance(config.get(key), kind) for key, kind in keys.items()
        ):
            self._problem("is not the configuration of a model.", "config", _ASK)
            return
        # Iterators, not items: a list of a million numbers must not cost a million places.
        stack: list[Iterator[tuple[Any, str, str]]] = [iter([(config, "config", "")])]
        while stack and len(self.problems) < self._limits.problems:
            value, location, key = next(stack[-1], (_DONE, "", ""))
            if value is _DONE:
                stack.pop()
            elif isinstance(value, dict):
                if "class_name" in value:
                    self._node(value, location)
                stack.append(_items(value, location))
            elif isinstance(value, list):
                if key not in VOCABULARY_KEYS:
                    stack.append(_elements(value, location, key))
            elif isinstance(value, str):
                self._text(value, location, key)
            elif isinstance(value, int) and abs(value) >= _LARGEST:
                self._problem(
                    f"holds {short_repr(value)}, which no size or seed is.", location, _ASK
                )

    def _problem(
        self,
        message: str,
        location: str,
        hint: str,
        *,
        distribution: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        error = ModelFileError(
            message,
            path=self._label,
            member=CONFIG,
            location=location,
            distribution=distribution,
            hint=hint,
        )
        error.__cause__ = cause
        self.problems.append(error)

    # Objects.

    def _node(self, node: dict[str, Any], location: str) -> None:
        name, module, registered = (
            node.get(k) for k in ("class_name", "module", "registered_name")
        )
        texts = (name, "" if module is None else module, "" if registered is None else registered)
        if not all(isinstance(text, str) for text in texts):
            if "config" in node:
                self._problem("names its class by something else than a text.", location, _ASK)
            return
        self.texts.update(text for text in texts if text)
        assert isinstance(name, str)  # by the check above
        if "config" not in node and "module" not in node:
            self._bare_class(node, name, location)
        elif name.startswith("__"):
            self._constant(node, name, location)
        elif name == "function":
            self._function(node, location)
        elif self._is_given(name, module, registered):
            self.uses.append(Use(registered or name, location, name, None, node))
        elif isinstance(registered, str) and (">" in registered or registered in self._given):
            self._component(node, registered, location)
        elif "module" not in node and "inbound_nodes" not in node:
            self._bare_class(node, name, location)
        else:
            self._builtin_class(node, location)

    def _is_given(self, name: str, module: Any, registered: Any) -> bool:
        """Whether the caller's object is meant; his name for one does not replace a built-in."""
        own = registered in {None, name, f"Custom>{name}"}
        return own and name in self._given and public_name(module, name) not in builtins().classes

    def _builtin_class(self, node: dict[str, Any], location: str) -> None:
        module, name, registered = (
            node.get("module"),
            node["class_name"],
            node.get("registered_name"),
        )
        full = public_name(module, name)
        if self._refused(full, location):
            return
        if full not in builtins().classes:
            self._foreign(node, location)
            return
        if registered not in {None, name}:
            self._problem(
                f"names {full} and registers it as {short_repr(registered)}: the names contradict "
                "each other.",
                location,
                _ASK,
            )
            return
        self.builtins.append(Builtin(full, location, node))
        self._arguments(node, name, location)
        self._layer_name(node, location)

    def _refused(self, full: str, location: str) -> bool:
        if full in NEVER:
            self._problem(f"holds {full}, which is refused: {NEVER[full]}.", location, _ASK)
            return True
        if full in RUNS_CODE:
            self.unsafe.append(full)
            if not self._allow_unsafe:
                self._problem(
                    f"holds {full}, which is refused: {RUNS_CODE[full]}.", location, _OPT_IN
                )
                return True
        return False

    def _foreign(self, node: dict[str, Any], location: str) -> None:
        module, name = node.get("module"), node["class_name"]
        if isinstance(module, str) and (module == "keras" or module.startswith("keras.")):
            self._problem(
                f"names {short_repr(f'{module}.{name}')}, which is not among the classes of "
                f"{builtins().span} that a model file may name.",
                location,
                "If a later Keras brings it, upgrade: pip install -U 'dlt-core>=0.1,<1'",
            )
            return
        registered = node.get("registered_name")
        self._problem(
            f"holds the class {short_repr(name)} of the module {short_repr(module)}, registered as "
            f"{short_repr(registered)}. A class is found by the identifier that a distribution "
            "declares, never by a module that the file names.",
            location,
            "Declare the class with `@component` and save the model again, or pass it in "
            "`custom_objects`.",
        )

    def _bare_class(self, node: dict[str, Any], name: str, location: str) -> None:
        """The short form `{"class_name": ..., "config": ...}`, which components accept."""
        refused = [full for full in (*RUNS_CODE, *NEVER) if full.rpartition(".")[2] == name]
        if refused and self._refused(refused[0], location):
            return
        if ">" in name or name in self._given:
            self._component(node, name, location)
        elif name in class_names():
            self._arguments(node, name, location)
        elif name in self._index:
            self._component(node, name, location)
        elif "config" in node:
            self._problem(
                f"holds the class {short_repr(name)} without saying whose it is.", location, _ASK
            )

    def _component(self, node: dict[str, Any], id: str, location: str) -> None:
        name, module = node["class_name"], node.get("module")
        if id in self._given:
            self.uses.append(Use(id, location, name, None, node))
            return
        root = module.partition(".")[0] if isinstance(module, str) else None
        entry = self._entry(id, location)
        if entry is not None:
            own = {entry.name, entry.object.partition(":")[2], id.partition(">")[2], id}
            own.update(alias.partition(">")[2] for alias in entry.aliases)
            own.add(entry.id)
            own_root = entry.object.partition(".")[0]
            spoof = name not in own and (name in class_names() or not _NAME.fullmatch(name))
            if spoof or (root in _KERAS and root != own_root):
                self._problem(
                    f"names {short_repr(f'{module}.{name}')} and registers it as {short_repr(id)}: "
                    "the names contradict each other.",
                    location,
                    _ASK,
                    distribution=_provider(entry),
                )
                entry = None
            elif entry.kind in {"function"}:
                self._problem(
                    f"holds {entry.id} as a class, which is a function.",
                    location,
                    _ASK,
                    distribution=_provider(entry),
                )
        self.uses.append(Use(id, location, name, entry, node))
        if entry is not None and entry.kind in {"layer", "model"}:
            self._layer_name(node, location)

    def _function(self, node: dict[str, Any], location: str) -> None:
        """Keras stores a custom function's identifier in `config`, not in `registered_name`."""
        name, module, registered = (
            node.get("config"),
            node.get("module"),
            node.get("registered_name"),
        )
        if not isinstance(name, str):
            self._problem("names a function by something else than a text.", location, _ASK)
            return
        self.texts.add(name)
        if ">" in name:
            self.uses.append(Use(name, location, None, self._entry(name, location), node))
        elif name in self._given:
            self.uses.append(Use(name, location, None, None, node))
        elif registered not in {None, "function", name}:
            self._problem(
                f"names the function {short_repr(name)} and registers it as "
                f"{short_repr(registered)}: the names contradict each other.",
                location,
                _ASK,
            )
        elif (module == "builtins" and name in function_names()) or (
            f"{module}.{name}" in builtins().functions
        ):
            self.builtins.append(Builtin(f"{module}.{name}", location, node))
        else:
            self._problem(
                f"names the function {short_repr(name)} of the module {short_repr(module)}. "
                "A file may name Keras's activations, losses and metrics, and declared components.",
                location,
                "Declare the function with `@component` and save the model again, or pass it in "
                "`custom_objects`.",
            )

    def _constant(self, node: dict[str, Any], name: str, location: str) -> None:
        if name == "__lambda__":
            self.unsafe.append("a Python lambda")
            if not self._allow_unsafe:
                self._problem(
                    "holds a Python lambda, which is refused: it runs code that the file carries.",
                    location,
                    _OPT_IN,
                )
            return
        fault = constants.fault(name, node.get("config"))
        if fault:
            self._problem(fault, location, _ASK)

    def _arguments(self, node: dict[str, Any], name: str, location: str) -> None:
        config = node.get("config")
        if name not in READS_VOCABULARY or not isinstance(config, dict):
            return
        for key in VOCABULARY_KEYS:
            if not isinstance(config.get(key), list | None):
                self._problem(
                    f"gives {name} {short_repr(config[key])} as its {key}, a path or an address. A "
                    "file may carry the values themselves only.",
                    f"{location}.config.{key}",
                    _ASK,
                )

    def _layer_name(self, node: dict[str, Any], location: str) -> None:
        """Names of layers become paths inside the archive."""
        full = f"{node.get('module')}.{node['class_name']}"
        if full.startswith(("keras.metrics", "keras.losses", "keras.optimizers")):
            return
        config = node.get("config")
        for name in (node.get("name"), config.get("name") if isinstance(config, dict) else None):
            if isinstance(name, str) and (
                "/" in name or "\\" in name or ".." in name or not name.isprintable()
            ):
                self._problem(
                    f"has the name {short_repr(name)}, which could lead out of a folder.",
                    location,
                    _ASK,
                )

    # Identifiers.

    def _text(self, text: str, location: str, key: str) -> None:
        """A bare text may be the identifier or the name of a component."""
        if key in {"name", "class_name", "module", "registered_name"} or len(text) > 192:
            return
        self.texts.add(text)
        entries = self._index.get(text, ())
        if _IDENTIFIER.fullmatch(text):
            if entries or (_SLOT.fullmatch(key) and text not in self._given):
                self.uses.append(Use(text, location, None, self._entry(text, location), None))
            return
        for entry in entries:
            self._judge(entry, text, location)

    def _entry(self, id: str, location: str) -> Entry | None:
        if id not in self._resolved:
            try:
                if ">" in id:
                    parse_identifier(id)
                self._resolved[id] = self._resolve(id)
            except DLTechniquesError as error:
                self._resolved[id] = error
            except ValueError as error:
                self._resolved[id] = ModelFileError(str(error), path=self._label)
        found = self._resolved[id]
        if isinstance(found, Entry):
            return found if self._judge(found, id, location) else None
        message = found.message if isinstance(found, ModelFileError) else str(found)
        self._problem(
            f"needs the component {short_repr(id)}. {message}",
            location,
            f"Install what provides it, or pass it in `custom_objects`: {{{short_repr(id)}: ...}}.",
            distribution=getattr(found, "distribution", None),
            cause=found,
        )
        return None

    def _judge(self, entry: Entry, id: str, location: str) -> bool:
        if entry.unsafe:
            self.unsafe.append(entry.id)
            if not self._allow_unsafe:
                self._problem(
                    f"holds {short_repr(id)}, which declares that loading it can run code of the "
                    "file's choosing.",
                    location,
                    _OPT_IN,
                    distribution=_provider(entry),
                )
                return False
        return True


def _names(node: dict[str, Any]) -> tuple[Any, Any, Any]:
    return node.get("class_name"), node.get("module"), node.get("registered_name")


def is_operation(name: str) -> bool:
    """Whether a built-in is an operation between layers, which has no weights.

    Args:
        name: `module.Name`.
    """
    return name.startswith(OPERATIONS)


def _provider(entry: Entry) -> str:
    return f"{entry.distribution} {entry.version}".strip()


def _elements(value: list[Any], location: str, key: str) -> Iterator[tuple[Any, str, str]]:
    for index, item in enumerate(value):
        yield item, f"{location}[{index}]", key


def _items(node: dict[str, Any], location: str) -> Iterator[tuple[Any, str, str]]:
    for key, value in node.items():
        place = f"{location}.{key}" if _NAME.fullmatch(key) else f"{location}[{short_repr(key)}]"
        yield value, place, key
