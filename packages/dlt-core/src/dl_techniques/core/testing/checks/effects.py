"""What a component must leave alone."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from dl_techniques.core.testing.check import ANY, NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject

_watching: list[list[str]] = []
_installed = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event in {"socket.connect", "subprocess.Popen", "os.system"}:
        _watching[-1].append(f"{event} {arguments!r:.100}")
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        _watching[-1].append(f"opens {arguments[0]!r} for writing")


@contextlib.contextmanager
def _watched() -> Iterator[list[str]]:
    """What happens to files, sockets and processes meanwhile."""
    global _installed  # noqa: PLW0603  # an audit hook cannot be removed: one serves for all
    if not _installed:
        sys.addaudithook(_audit)
        _installed = True
    events: list[str] = []
    _watching.append(events)
    try:
        yield events
    finally:
        _watching.remove(events)


@check()
def no_side_effects(subject: Subject) -> None:
    """Calling it prints nothing and leaves inputs, seeds, settings, files and sockets alone."""
    arrays = subject.arrays()
    kept = {key: value.copy() for key, value in arrays.items()}
    subject.make()  # what a backend does at a first call is not the component's doing
    np.random.seed(1234)  # the legacy global state is what is guarded
    state = np.random.get_state()[1].tolist()  # type: ignore[index]
    settings = (keras.config.floatx(), keras.config.dtype_policy().name, dict(os.environ))
    out = io.StringIO()
    with _watched() as events, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        instance = subject.create()
        subject.call(instance, arrays)
        subject.call(instance, arrays, training=True)
    require(not out.getvalue(), f"it prints {out.getvalue()[:80]!r}")
    require(not events, f"it {events[0] if events else ''}")
    for key, value in kept.items():
        require(np.array_equal(value, arrays[key], equal_nan=True), f"it changes its input {key}")
    after = np.random.get_state()[1].tolist()  # type: ignore[index]
    require(after == state, "it draws from NumPy's global random numbers")
    now = (keras.config.floatx(), keras.config.dtype_policy().name, dict(os.environ))
    require(now == settings, "it changes floatx, the dtype policy or the environment")


# Run in a child: the time that the module takes once Keras is there.
_IMPORT_TIME = """
import sys, time
import keras
started = time.process_time()
__import__(sys.argv[1])
print(time.process_time() - started)
"""
_IMPORT_SECONDS = 0.25


@check(level="may", kinds=ANY)
def import_cost(subject: Subject) -> None:
    """Importing the component's module costs little beyond Keras itself."""
    if not os.environ.get("DL_TECHNIQUES_IMPORT_COST"):
        raise NotApplicable(
            "it takes a process of its own; DL_TECHNIQUES_IMPORT_COST=1 asks for it"
        )
    command = [sys.executable, "-c", _IMPORT_TIME, subject.cls.__module__]
    child = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    require(child.returncode == 0, f"importing it alone fails: {child.stderr.strip()[-200:]}")
    seconds = float(child.stdout.split()[-1])
    require(seconds <= _IMPORT_SECONDS, f"importing its module takes {seconds:.2f} s of CPU")
