"""Audit a model's configuration: every object that Keras may build, wherever it stands.

A configuration is a tree in which any object with a `class_name` makes Keras look something up,
by the `module` that the file names or by a registered name that may contradict the class name.
Here an object is acceptable only if it is one of Keras's own built-ins, or if an installed
distribution declares its identifier. The `module` of the file is never imported, the three names
must agree, and no key, class or depth is exempt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from dl_techniques.core.contract.identifier import parse_identifier
from dl_techniques.core.entry import Entry
from dl_techniques.core.errors import DLTechniquesError, ModelFileError
from dl_techniques.core.files import tensor_nodes
from dl_techniques.core.files.archive import CONFIG
from dl_techniques.core.files.keras_builtins import (
    LITERALS,
    NEVER,
    OPERATIONS,
    READS_FILES,
    RUNS_CODE,
    class_names,
    function_names,
    keras_builtins,
    public_name,
)
from dl_techniques.core.files.known_components import KnownComponents
from dl_techniques.core.files.options import OPTIONS, Options
from dl_techniques.core.text import short_repr

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
_PLAIN: Final = (int, float, list, dict)


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
    known: KnownComponents,
    options: Options = OPTIONS,
    *,
    label: str,
    saving: bool = False,
) -> Audit:
    """Walk a configuration.

    Args:
        config: The parsed `config.json`.
        known: The components that names in the file may mean.
        options: The terms of `load_model`.
        label: The model file's name in messages.
        saving: Whether the hints are for somebody who saves a model, not for one who loads it.

    Returns:
        All that it names. Nothing is raised: everything that is wrong is in `problems`.
    """
    walk = _Walk(known, options, label, saving)
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

    def __init__(self, known: KnownComponents, options: Options, label: str, saving: bool) -> None:
        self._known = known
        self._given = options.custom_objects
        self._allow_unsafe = options.allow_unsafe
        self._most_problems = options.limits.problems
        self._label = label
        self._saving = saving
        self._resolved: dict[str, Entry | DLTechniquesError] = {}
        self._literals: set[int] = set()
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
            self._problem("is not the configuration of a model.", "config")
            return
        # Iterators, not items: a list of a million numbers must not cost a million places.
        stack: list[Iterator[tuple[Any, str, str]]] = [iter([(config, "config", "")])]
        while stack and len(self.problems) < self._most_problems:
            value, location, key = next(stack[-1], (_DONE, "", ""))
            if value is _DONE:
                stack.pop()
            elif isinstance(value, dict):
                if "class_name" in value:
                    self._node(value, location)
                stack.append(_items(value, location))
            elif isinstance(value, list):
                # Lists of literals were checked with the object that they belong to.
                if id(value) not in self._literals:
                    stack.append(_elements(value, location, key))
            elif isinstance(value, str):
                self._text(value, location, key)
            elif isinstance(value, int) and abs(value) >= _LARGEST:
                self._problem(f"holds {short_repr(value)}, which no size or seed is.", location)

    def _problem(
        self,
        message: str,
        location: str,
        hint: str = _ASK,
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
        name, module, registered = _names(node)
        texts = (name, "" if module is None else module, "" if registered is None else registered)
        if not all(isinstance(text, str) for text in texts):
            self._problem("`class_name`, `module` and `registered_name` must be strings.", location)
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
        """Return whether it is the caller's object, whose name does not replace a built-in."""
        own = registered in {None, name, f"Custom>{name}"}
        return (
            own
            and name in self._given
            and public_name(module, name) not in keras_builtins().classes
        )

    def _builtin_class(self, node: dict[str, Any], location: str) -> None:
        name, module, registered = _names(node)
        full = public_name(module, name)
        if self._refused(full, location):
            return
        if full not in keras_builtins().classes:
            self._foreign(node, location)
            return
        if registered not in {None, name}:
            self._problem(
                f"names {full} and registers it as {short_repr(registered)}: the names contradict "
                "each other.",
                location,
            )
            return
        self.builtins.append(Builtin(full, location, node))
        self._arguments(node, name, location)
        self._layer_name(node, location)

    def _refused(self, full: str, location: str) -> bool:
        if full in NEVER:
            self._problem(f"holds {full}, which is refused: {NEVER[full]}.", location)
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
        name, module, registered = _names(node)
        if isinstance(module, str) and (module == "keras" or module.startswith("keras.")):
            self._problem(
                f"names {short_repr(f'{module}.{name}')}, which is not among the classes of "
                f"{keras_builtins().span} that a model file may name.",
                location,
                "If a later Keras brings it, upgrade: pip install -U 'dlt-core>=0.1,<1'",
            )
            return
        self._problem(
            f"holds the class {short_repr(name)} of the module {short_repr(module)}, registered as "
            f"{short_repr(registered)}. A class is found by the identifier that a distribution "
            "declares, never by a module that the file names.",
            location,
            self._declare("class"),
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
        elif name in self._known.names:
            self._component(node, name, location)
        else:
            self._problem(
                f"holds the class {short_repr(name)} without saying whose it is.", location
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
                    distribution=_provider(entry),
                )
                entry = None
            elif entry.kind in {"function"}:
                self._problem(
                    f"holds {entry.id} as a class, which is a function.",
                    location,
                    distribution=_provider(entry),
                )
        self.uses.append(Use(id, location, name, entry, node))
        if entry is not None and entry.kind in {"layer", "model"}:
            self._layer_name(node, location)

    def _function(self, node: dict[str, Any], location: str) -> None:
        """Keras stores a custom function's identifier in `config`, not in `registered_name`."""
        _, module, registered = _names(node)
        name = node.get("config")
        if not isinstance(name, str):
            self._problem("`config` of a function must be its name.", location)
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
            )
        elif (module == "builtins" and name in function_names()) or (
            f"{module}.{name}" in keras_builtins().functions
        ):
            self.builtins.append(Builtin(f"{module}.{name}", location, node))
        else:
            self._problem(
                f"names the function {short_repr(name)} of the module {short_repr(module)}. "
                "A file may name Keras's activations, losses and metrics, and declared components.",
                location,
                self._declare("function"),
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
        problem = tensor_nodes.problem(name, node.get("config"))
        if problem:
            self._problem(problem, location)

    def _arguments(self, node: dict[str, Any], name: str, location: str) -> None:
        """Check literal arguments: Keras reads a file where a list of values should stand."""
        config = node.get("config")
        if not isinstance(config, dict):
            return
        for key, kinds in LITERALS.get(name, {}).items():
            value = config.get(key)
            if isinstance(value, list) and all(type(item) in kinds for item in value):
                self._literals.add(id(value))
            elif value is not None and not (name not in READS_FILES and isinstance(value, _PLAIN)):
                self._problem(
                    f"gives {name} {short_repr(value)} as its `{key}`. A file may carry the values "
                    "themselves only, not a path or an address.",
                    f"{location}.config.{key}",
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
                    f"has the name {short_repr(name)}, which could lead out of a folder.", location
                )

    # Identifiers.

    def _text(self, text: str, location: str, key: str) -> None:
        """A bare text may be the identifier or the name of a component."""
        if key in {"name", "class_name", "module", "registered_name"} or len(text) > 192:
            return
        self.texts.add(text)
        entries = self._known.names.get(text, ())
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
                self._resolved[id] = self._known.find(id)
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
            self._install(id),
            distribution=getattr(found, "distribution", None),
            cause=found,
        )
        return None

    def _declare(self, what: str) -> str:
        hint = f"Declare the {what} with `@component` and save the model again"
        return f"{hint}." if self._saving else f"{hint}, or pass it in `custom_objects`."

    def _install(self, id: str) -> str:
        if self._saving:
            return "Declare it with `@component`, or install what provides it."
        return (
            f"Install what provides it, or pass it in `custom_objects`: {{{short_repr(id)}: ...}}."
        )

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
    """Return whether a built-in is an operation between layers, which has no weights.

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
