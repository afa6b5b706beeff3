"""Components that plugins make at run time, through the hook `dl_components`."""

from __future__ import annotations

from typing import Any, NamedTuple

from dl_techniques.core.contract.component import declaration_of
from dl_techniques.core.contract.identifier import FIRST_PARTY_NAMESPACE
from dl_techniques.core.entry import Entry, Problem
from dl_techniques.core.registry.conflicts import Claims, claim
from dl_techniques.core.registry.discovery import may_claim_namespace
from dl_techniques.core.registry.plugins import Plugin, Plugins
from dl_techniques.core.text import describe_error


class Dynamic(NamedTuple):
    """What the plugins' `dl_components` answered."""

    claims: Claims
    objects: dict[Entry, Any]
    """The component itself, for each entry."""
    problems: tuple[Problem, ...]


def collect(plugins: Plugins, static: Claims) -> Dynamic:
    """Ask all plugins for their components.

    Args:
        plugins: The loaded plugins.
        static: The components of the manifests, which take their identifiers first.
    """
    objects: dict[Entry, Any] = {}
    problems: list[Problem] = []
    for answer in plugins.call("dl_components"):
        for item in answer.value:
            try:
                entry = _entry(item, answer.plugin)
                _require_own(entry, answer.plugin, static)
            except Exception as error:  # a foreign object may raise whatever is asked of it
                problems.append(
                    Problem(
                        answer.plugin.distribution,
                        "hook",
                        f"dl_components: {describe_error(error)}",
                        answer.plugin.location,
                    )
                )
            else:
                objects[entry] = item
    claims = claim(objects)
    # Marking a conflict makes a new entry; what it stands for is found by its address.
    addresses = {_address(entry): item for entry, item in objects.items()}
    marked = {entry: addresses[_address(entry)] for entry in claims.entries}
    return Dynamic(claims, marked, (*problems, *claims.problems))


def _entry(item: Any, plugin: Plugin) -> Entry:
    declaration = declaration_of(item)
    if declaration is None:
        kind = type(item).__name__
        raise TypeError(f"expected classes or functions declared with @component, got a {kind}")
    documentation = (item.__doc__ or "").strip()
    return Entry(
        **declaration._asdict(),
        object=f"{item.__module__}:{item.__qualname__}",
        summary=documentation.splitlines()[0] if documentation else "",
        distribution=plugin.provider.name,
        version=plugin.provider.version,
        location=plugin.location,
    )


def _require_own(entry: Entry, plugin: Plugin, static: Claims) -> None:
    """The rules of manifests hold here, too."""
    module = entry.object.partition(":")[0]
    package = plugin.module.partition(".")[0]
    if module.partition(".")[0] != package:
        raise ValueError(f"{entry.id} must live inside {package!r}. Received: {entry.object}")
    if entry.namespace == FIRST_PARTY_NAMESPACE and not may_claim_namespace(
        plugin.distribution, module
    ):
        raise ValueError(
            f"{entry.id}: the namespace {FIRST_PARTY_NAMESPACE!r} is not this distribution's"
        )
    for key in (entry.id, *entry.aliases):
        if key.partition(">")[0] != entry.namespace:
            raise ValueError(f"{entry.id}: the alias {key!r} is of another namespace")
        if key in static.keys:
            raise ValueError(f"{key!r} is already declared by {static.keys[key][0].distribution}")


def _address(entry: Entry) -> tuple[str, str, str]:
    return entry.id, entry.object, entry.location
