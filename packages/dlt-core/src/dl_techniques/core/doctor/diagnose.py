"""Look for faults of this environment.

Nothing of a plugin is imported into this process: plugins are asked, and components imported, in
child processes under a time limit, because foreign code may exit, hang or crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from dl_techniques.core.__about__ import __version__
from dl_techniques.core.doctor.child_process import IMPORT, PLUGINS, Task, run_tasks
from dl_techniques.core.entry import Entry, Problem
from dl_techniques.core.project.drift import drift_problems
from dl_techniques.core.registry.conflicts import claim
from dl_techniques.core.registry.discovery import (
    PLUGINS_GROUP,
    discover,
    find_providers,
    foreign_core,
)

# Import name -> the distributions that bring it.
KERAS: Final = ("keras", "keras-nightly")
BACKENDS: Final = {
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly"),
    "jax": ("jax",),
    "torch": ("torch",),
}
OLDEST_KERAS: Final = (3, 8)
SECONDS: Final = 120.0
"""How long a child may take: a cold import of a backend takes long."""


class Diagnosis(NamedTuple):
    """The result of `diagnose`."""

    versions: dict[str, str | None]
    """Distribution -> installed version, `None` if it is not there."""
    components: int
    imported: int | None
    """How many components were imported without a fault; `None` if none was tried."""
    problems: tuple[Problem, ...]

    @property
    def healthy(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems


def diagnose(
    *,
    imports: bool = False,
    seconds: float = SECONDS,
    progress: Callable[[str], None] = lambda _: None,
) -> Diagnosis:
    """Look at versions, metadata, manifests, conflicts and plugins; if asked, import components.

    Manifests of editable installations are compared with their source.

    Args:
        imports: Whether to import each component.
        seconds: How long a child may take: a distribution's plugins, or its components.
        progress: Called with what is looked at next.

    Returns:
        What was found; nothing is raised for what is broken.
    """
    versions = installed_versions()
    # Not through the registry, which raises these instead if `DL_TECHNIQUES_STRICT` is set.
    found = discover()
    claims = claim(found.entries)
    problems = [*stack_problems(versions), *foreign_core(), *found.problems, *claims.problems]
    problems += drift_problems()
    problems += plugin_problems(seconds=seconds, progress=progress)
    imported = None
    if imports:
        failed = import_problems(claims.entries, seconds=seconds, progress=progress)
        problems += failed
        imported = len(claims.entries) - len(failed)
    unique = tuple(dict.fromkeys(problems))
    return Diagnosis(versions, len(claims.entries), imported, unique)


def installed_versions() -> dict[str, str | None]:
    """The versions of this core, Keras and the backends; none of them is imported for it."""
    names = {"keras": KERAS, **BACKENDS}
    found = {name: next(filter(None, map(_version, names[name])), None) for name in names}
    return {"dlt-core": __version__, **found}


def stack_problems(versions: dict[str, str | None]) -> Iterator[Problem]:
    """Report missing or too old packages.

    Args:
        versions: The answer of `installed_versions`.
    """
    keras = versions.get("keras")
    numbers = re.match(r"(\d+)\.(\d+)", keras or "")
    needed = "pip install 'keras>=3.8,<4'"
    if keras is None:
        yield Problem("keras", "discovery", f"Keras is not installed: {needed}")
    elif numbers and not OLDEST_KERAS <= (int(numbers[1]), int(numbers[2])) < (4, 0):
        yield Problem("keras", "discovery", f"Keras {keras} is not supported: {needed}")
    present = [name for name in BACKENDS if versions.get(name)]
    if not present:
        extras = " or ".join(f"'dlt-core[{name}]>=0.1,<1'" for name in BACKENDS)
        yield Problem("keras", "discovery", f"no backend is installed: pip install {extras}")
        return
    wanted, origin = _wanted_backend()
    if wanted in BACKENDS and wanted not in present:
        message = (
            f"the backend {wanted} ({origin}) is not installed; "
            f"set KERAS_BACKEND to {' or '.join(present)}"
        )
        yield Problem("keras", "discovery", message)


def plugin_problems(
    *, seconds: float = SECONDS, progress: Callable[[str], None] = lambda _: None
) -> list[Problem]:
    """Return the problems that plugins report, or raise when they are loaded and asked.

    Args:
        seconds: How long each plugin's distribution may take.
        progress: Called with the name of each distribution.
    """
    problems: list[Problem] = []
    for provider in find_providers()[0]:
        points = [point for point in provider.entry_points if point.group == PLUGINS_GROUP]
        if points:
            location = f"{points[0].name} = {points[0].value}, {provider.location}"
            task = Task(PLUGINS, provider.name, provider.name, location)
            problems += run_tasks([task], seconds=seconds, progress=progress)
    return problems


def import_problems(
    entries: tuple[Entry, ...],
    *,
    seconds: float = SECONDS,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Problem]:
    """The components that cannot be imported, or contradict their manifests; one problem each.

    The components of one distribution share a child, so that a backend is imported once; when
    one ends it or exceeds the time, the rest get another.

    Args:
        entries: The components.
        seconds: How long each child may take.
        progress: Called with each child's first identifier.
    """
    tasks: dict[str, list[Task]] = {}
    for entry in entries:
        task = Task(IMPORT, entry.id, entry.distribution, entry.object)
        tasks.setdefault(entry.distribution, []).append(task)
    return [
        problem
        for group in tasks.values()
        for problem in run_tasks(group, seconds=seconds, progress=progress)
    ]


def _version(distribution: str) -> str | None:
    with contextlib.suppress(Exception):  # absent, or broken metadata
        return version(distribution)
    return None


def _wanted_backend() -> tuple[str, str]:
    """The backend that Keras will choose, and who says so."""
    from_environment = os.environ.get("KERAS_BACKEND")
    if from_environment:
        return from_environment, "from KERAS_BACKEND"
    folder = os.environ.get("KERAS_HOME")
    file = (Path(folder) if folder else Path.home() / ".keras") / "keras.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["backend"]), f"from {file}"
    except (OSError, ValueError, KeyError, TypeError):  # Keras passes over such a file, too
        return "tensorflow", "the default of Keras"
