"""Turn a checked file into the configuration and objects for Keras.

Keras gets the parsed configuration, written anew. Every custom object stands under its present
identifier, and nothing in it names a module that Keras would import.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from dl_techniques.core.entry import Entry
from dl_techniques.core.errors import ComponentError, DLTechniquesError, ModelFileError
from dl_techniques.core.files import keras_versions
from dl_techniques.core.files.archive import CONFIG, METADATA
from dl_techniques.core.files.check import Checked, raise_problems
from dl_techniques.core.files.config_walk import Builtin, Use
from dl_techniques.core.files.known_components import KnownComponents
from dl_techniques.core.registry.discovery import normalize
from dl_techniques.core.registry.registry import registry
from dl_techniques.core.text import short_repr


class Plan:
    """The configuration and objects for Keras, and the renamed classes to undo afterwards.

    Args:
        config: The configuration; changed by `prepare`.
        version: The Keras that wrote the file.
    """

    def __init__(self, config: dict[str, Any], version: str) -> None:
        self.config = config
        self.version = version
        self.objects: dict[str, Any] = {}
        """Name in the configuration -> object."""
        self._entries: dict[str, Entry] = {}
        self._renamed: dict[tuple[str, str], str] = {}
        self._made: list[tuple[Any, type]] = []

    def write(self, folder: Path) -> None:
        """Write the configuration beside the weights, as Keras reads it.

        Args:
            folder: The folder that holds the unpacked weights.
        """
        folder.joinpath(CONFIG).write_text(json.dumps(self.config), encoding="ascii")
        metadata = json.dumps({"keras_version": self.version})
        folder.joinpath(METADATA).write_text(metadata, encoding="ascii")

    def bind(self, entry: Entry, target: Any) -> None:
        """Bind an identifier to its object.

        Args:
            entry: The component.
            target: Its class or function.
        """
        self.objects[entry.id] = target
        self._entries[getattr(target, "__module__", "")] = entry

    def renamed_class(self, id: str, name: str, target: type) -> str:
        """Return the name for a class that needs its old name while Keras rebuilds the model.

        Keras derives the groups of the weights file from class names. So a renamed class is
        rebuilt through a subclass with the old name, and its instances get the real class back in
        `finish`. Nothing outside this plan knows of it.

        Args:
            id: The identifier today.
            name: The class's name when the file was written.
            target: The class.
        """
        key = self._renamed.setdefault((id, name), f"{id} as {name}")
        if key not in self.objects:
            self.objects[key] = _subclass(target, name, self._made)
        return key

    def finish(self) -> None:
        """Give renamed instances their real class."""
        for instance, target in self._made:
            object.__setattr__(instance, "__class__", target)
        self._made.clear()

    def blame(self, error: BaseException) -> str | None:
        """Return the distribution whose component raised an error, if one did.

        Args:
            error: The exception.
        """
        causes: list[BaseException] = []
        current: BaseException | None = error
        while current is not None and current not in causes:
            causes.append(current)
            current = current.__cause__ or current.__context__
        for cause in causes:
            trace = cause.__traceback__
            while trace is not None:
                entry = self._entries.get(trace.tb_frame.f_globals.get("__name__", ""))
                if entry is not None and entry.distribution:
                    return f"{entry.distribution} {entry.version}"
                trace = trace.tb_next
        return None


def migrate(found: Checked) -> bool:
    """Let the providers of components bring stored configurations up to date, in place.

    Args:
        found: The file.

    Returns:
        Whether anything changed; the configuration must then be audited again.
    """
    stored = found.provenance.components if found.provenance else {}
    changed = False
    # Inner objects first: an outer one's provider gets, and may move, what is up to date.
    for use in reversed(found.audit.uses):
        entry, node = use.entry, use.node
        if entry is None or node is None or not isinstance(node.get("config"), dict):
            continue
        origin = stored.get(use.id) or stored.get(entry.id)
        version = origin.version if origin else ""
        if version == entry.version:
            continue
        answers = registry.plugins.call(
            "dl_migrate_config",
            id=entry.id,
            config=node["config"],
            stored=version,
            current=entry.version,
        )
        for answer in answers:
            if normalize(answer.plugin.distribution) == normalize(entry.distribution):
                changed = changed or answer.value != node["config"]
                node["config"] = answer.value
    return changed


def prepare(
    found: Checked, *, known: KnownComponents, given: Mapping[str, Any], label: str
) -> Plan:
    """Import what the file needs, and write its configuration in today's names.

    Args:
        found: The file.
        known: The components that its names mean.
        given: The objects that the caller provides.
        label: The file's name in messages.

    Raises:
        ModelFileProblems: If a component cannot be imported or contradicts its manifest, a name
            is taken by somebody else in this process, or this Keras is too old for the file.
    """
    plan = Plan(found.config, found.keras_version or "")
    problems: list[DLTechniquesError] = []
    for use in found.audit.uses:
        if use.entry is None:
            _provide(plan, use, given[_given_name(use, given)])
        elif use.entry.id not in plan.objects:
            try:
                plan.bind(use.entry, known.load(use.entry))
            except ComponentError as error:
                problems.append(_unusable(use, error, label))
    problems += _shadowed(plan, found, label)
    problems += keras_versions.adapt(found.audit.builtins, label=label, running=keras.version())
    raise_problems(label, problems)
    named: tuple[Builtin | Use, ...] = (*found.audit.builtins, *found.audit.uses)
    nodes = [item.node for item in named if item.node]
    keras_versions.unwrap_single_tensors(nodes, stored=plan.version)
    for use in found.audit.uses:
        if use.entry is not None:
            _rename(plan, use, use.entry)
    return plan


def _unusable(use: Use, error: ComponentError, label: str) -> ModelFileError:
    problem = ModelFileError(
        str(error),
        path=label,
        member=CONFIG,
        location=use.location,
        distribution=error.distribution,
        hint="See `dl-techniques doctor --imports`.",
    )
    problem.__cause__ = error
    return problem


def _given_name(use: Use, given: Mapping[str, Any]) -> str:
    return use.id if use.id in given else str(use.class_name)


def _provide(plan: Plan, use: Use, target: Any) -> None:
    """Put an object of the caller's under a name of its own, which nothing global overrides."""
    plan.objects[use.id] = target
    if use.node is None:
        return
    if use.class_name is None:
        use.node["config"] = use.id
    else:
        use.node["registered_name"] = f"{use.id} as given"
        plan.objects[f"{use.id} as given"] = target
    use.node["module"] = None


def _shadowed(plan: Plan, found: Checked, label: str) -> list[DLTechniquesError]:
    """Names in the file that mean something else to this process than to the file.

    Keras looks into its global dictionary first, and any package may have put anything there.
    """
    taken = keras.saving.get_custom_objects()
    problems: list[DLTechniquesError] = []
    for text in sorted(found.audit.texts & taken.keys()):
        if text in plan.objects and plan.objects[text] is taken[text]:
            continue
        holder = taken[text]
        address = f"{getattr(holder, '__module__', '?')}:{getattr(holder, '__qualname__', '?')}"
        problems.append(
            ModelFileError(
                f"names {short_repr(text)}, under which this process registered {address}, which "
                "no distribution declares.",
                path=label,
                member=CONFIG,
                hint="Declare it with `@component`, pass it in `custom_objects`, or do not "
                "import what registers it.",
            )
        )
    return problems


def _rename(plan: Plan, use: Use, entry: Entry) -> None:
    """Write today's identifier into the configuration."""
    target = plan.objects[entry.id]
    bare = use.id.partition(">")[2] or use.id
    if not isinstance(target, type):
        plan.objects.setdefault(use.id, target)
        if use.node is not None and use.class_name is None:
            use.node.update(config=entry.id, registered_name="function", module="builtins")
        return
    if use.node is None or use.class_name is None:
        if use.id != entry.id:
            key = plan.renamed_class(entry.id, bare, target)
            plan.objects.setdefault(use.id, plan.objects[key])
        return
    was = use.class_name
    if ">" in was or "module" not in use.node:
        was = bare if use.id in entry.aliases else target.__name__
    key = entry.id if was == target.__name__ else plan.renamed_class(entry.id, was, target)
    use.node.update(registered_name=key, module=target.__module__, class_name=was)


def _subclass(target: type, name: str, made: list[tuple[Any, type]]) -> type:
    parent: Any = super  # checkers cannot see through a class that is made at run time

    def from_config(cls: Any, config: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        instance = parent(subclass, cls).from_config(config, *args, **kwargs)
        if type(instance) is subclass:
            made.append((instance, target))
        return instance

    def body(namespace: dict[str, Any]) -> None:
        namespace["__module__"] = target.__module__
        namespace["__doc__"] = target.__doc__
        namespace["from_config"] = classmethod(from_config)

    subclass = types.new_class(name, (target,), exec_body=body)
    return subclass
