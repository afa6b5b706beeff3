"""Run foreign code in child processes, where it may exit, hang or crash."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dl_techniques.core.entry import Problem, guarded
from dl_techniques.core.errors import ComponentImportError
from dl_techniques.core.registry.discovery import ALLOWED_VARIABLE
from dl_techniques.core.registry.registry import STRICT_VARIABLE, registry

IMPORT: Final = "import"
PLUGINS: Final = "plugins"

# The child looks for modules where its parent does, and not in the working directory.
_PROGRAM: Final = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from dl_techniques.core.doctor.child_process import answer
answer(sys.argv[2], json.loads(sys.argv[3]))
"""
_TAIL_BYTES: Final = 8192


class Task(NamedTuple):
    """One thing to try in a child."""

    what: str
    """`import` for a component, `plugins` for the plugins of a distribution."""
    name: str
    """The component's identifier or the distribution's name."""
    distribution: str
    location: str
    """What is imported, for messages."""


def run_tasks(
    tasks: Sequence[Task], *, seconds: float, progress: Callable[[str], None] = lambda _: None
) -> list[Problem]:
    """Try tasks of one distribution in a child process; a task that ends it costs itself only.

    Args:
        tasks: The tasks, in order.
        seconds: How long a child may take. Where one exceeds it, the task that it was at is
            reported and another child tries the rest.
        progress: Called with the name of each child's first task.

    Returns:
        The problems.
    """
    problems: list[Problem] = []
    left = list(tasks)
    while left:
        progress(left[0].name)
        with tempfile.TemporaryDirectory(prefix="dl_techniques-") as folder:
            answers, fault = _run(left, Path(folder), seconds)
        problems += itertools.chain(*answers)
        left = left[len(answers) :]
        if left:
            task = left.pop(0)
            stage, subject = ("import", f"{task.name}: ") if task.what == IMPORT else ("plugin", "")
            problems.append(Problem(task.distribution, stage, subject + fault, task.location))
    return problems


def answer(file: str, tasks: Sequence[Sequence[str]]) -> None:
    """In the child: try each task and write what went wrong, a line of JSON a task.

    Args:
        file: Where to write.
        tasks: The fields of each `Task`.
    """
    with Path(file).open("w", encoding="ascii") as stream:
        for fields in tasks:
            task = Task(*fields)
            problems = _import(task) if task.what == IMPORT else _ask_plugins()
            lines = [[None if item is None else str(item) for item in p] for p in problems]
            stream.write(json.dumps(lines) + "\n")
            stream.flush()


def _import(task: Task) -> list[Problem]:
    problems: list[Problem] = []
    with guarded(problems, task.distribution, "import", task.location, f"{task.name}: "):
        try:
            registry.load(task.name)
        except ComponentImportError as error:
            raise error.__cause__ or error from None
    return problems


def _ask_plugins() -> list[Problem]:
    """Call the hooks that cost nothing and change nothing; the parent lets one distribution see."""
    import argparse

    answers = registry.plugins.call("dl_doctor")
    registry.plugins.call("dl_commands", subparsers=argparse.ArgumentParser().add_subparsers())
    return [*registry.problems, *(problem for answer in answers for problem in answer.value)]


def _run(tasks: Sequence[Task], folder: Path, seconds: float) -> tuple[list[list[Problem]], str]:
    """Return the answers of one child, and why there are no more."""
    answers, errors = folder / "answers", folder / "errors"
    environment = {key: value for key, value in os.environ.items() if key != STRICT_VARIABLE}
    if tasks[0].what == PLUGINS:
        environment[ALLOWED_VARIABLE] = tasks[0].name
    arguments = [json.dumps([str(item) for item in sys.path]), str(answers), json.dumps(tasks)]
    fault = ""
    with errors.open("wb") as stream:
        child = subprocess.Popen(  # noqa: S603  # our own interpreter and program
            [sys.executable, "-P", "-c", _PROGRAM, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            fault = f"it takes longer than {seconds:g} s"
        finally:
            _end(child)
    return (
        _read(answers)[: len(tasks)],
        fault or f"it ended the process with code {child.returncode}{_last_line(errors)}",
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and what it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    elif child.poll() is None:
        child.kill()
    child.wait()


def _read(file: Path) -> list[list[Problem]]:
    """Return the complete answers."""
    try:
        lines = file.read_text(encoding="ascii").split("\n")[:-1]
        return [[Problem(*fields) for fields in json.loads(line)] for line in lines]
    except (OSError, ValueError, TypeError):  # nothing yet, or somebody else has written to it
        return []


def _last_line(file: Path) -> str:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        lines = stream.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {last[:500]}" if last else ""
