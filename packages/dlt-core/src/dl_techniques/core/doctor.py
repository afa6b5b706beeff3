"""Looking for what is broken in this environment, without importing anything by default."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

from dl_techniques.core.__about__ import __version__
from dl_techniques.core.catalog import Registry, registry
from dl_techniques.core.distributions import foreign_core
from dl_techniques.core.entry import Entry, Problem

BACKENDS: Final = ("tensorflow", "jax", "torch")
IMPORT_SECONDS: Final = 120.0
"""How long the import of one component may take: a cold import of a backend takes long."""

# Run in a child: whatever the import does, exiting and hanging included, happens there.
_IMPORT = """
import sys
from dl_techniques.core import registry
registry.load(sys.argv[1])
"""


class Diagnosis(NamedTuple):
    """What `diagnose` found."""

    versions: dict[str, str | None]
    """Distribution -> installed version, `None` if it is not there."""
    components: int
    imported: int | None
    """How many components were imported without a fault; `None` if none was tried."""
    problems: tuple[Problem, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def diagnose(
    *,
    imports: bool = False,
    catalog: Registry = registry,
    progress: Callable[[Entry], None] = lambda _: None,
) -> Diagnosis:
    """Look at versions, manifests, conflicts and plugins; and, if asked, import every component.

    Args:
        imports: Whether to import each component, in a process of its own under a time limit.
        catalog: The registry to look at.
        progress: Called before each import.

    Returns:
        What was found; nothing is raised for what is broken.
    """
    versions = {name: _version(name) for name in ("keras", *BACKENDS)}
    answers = catalog.plugins.call("dl_doctor")
    problems = [*_stack_problems(versions), *foreign_core(), *catalog.problems]
    problems += [problem for answer in answers for problem in answer.value]
    entries = catalog.list()
    failed: list[Problem] = []
    if imports:
        for entry in entries:
            progress(entry)
            failed += _try_import(entry)
    unique = tuple(dict.fromkeys([*problems, *failed]))
    imported = len(entries) - len(failed) if imports else None
    return Diagnosis({"dlt-core": __version__, **versions}, len(entries), imported, unique)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _stack_problems(versions: dict[str, str | None]) -> Iterator[Problem]:
    """What is missing for components to be used; said from metadata, not by importing."""
    if versions["keras"] is None:
        yield Problem("keras", "discovery", "Keras is not installed: pip install 'keras>=3.8,<4'")
    present = [name for name in BACKENDS if versions[name]]
    if not present:
        extras = " or ".join(f"'dlt-core[{name}]>=0.1,<1'" for name in BACKENDS)
        yield Problem("keras", "discovery", f"no backend is installed: pip install {extras}")
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted in BACKENDS and wanted not in present:
        yield Problem("keras", "discovery", f"KERAS_BACKEND is {wanted}, which is not installed")


def _try_import(entry: Entry) -> Iterator[Problem]:
    arguments = [sys.executable, "-c", _IMPORT, entry.id]
    try:
        child = subprocess.run(  # noqa: S603  # our own interpreter; the identifier is an argument
            arguments, capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        message = f"{entry.id}: the import takes longer than {IMPORT_SECONDS:.0f} s"
        yield Problem(entry.distribution, "import", message, entry.object)
        return
    if child.returncode:
        lines = child.stderr.strip().splitlines() or [f"exit code {child.returncode}"]
        yield Problem(entry.distribution, "import", f"{entry.id}: {lines[-1]}", entry.object)
