"""Side effects on settings, files, memory and imports."""

from __future__ import annotations

import collections
import contextlib
import gc
import io
import itertools
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from dl_techniques.core.testing.check import ANY, NotApplicable, check, require
from dl_techniques.core.testing.keras_settings import Settings, global_settings
from dl_techniques.core.testing.subject import Subject

_EVENTS: Final = frozenset(
    {"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "os.fork"}
    | {"os.posix_spawn", "os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link", "os.symlink"}
)
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CALLS: Final = 4  # two could be what came last and what came before it

_watching: list[list[str]] = []
_installed = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event in _EVENTS:
        _watching[-1].append(f"calls {event} {arguments!r:.100}")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
        _watching[-1].append(f"opens {arguments[0]!r} for writing")


@contextlib.contextmanager
def _watched() -> Iterator[list[str]]:
    """Record the use of files, sockets and processes meanwhile."""
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
    settings = global_settings()
    subject.make()  # what a backend does at a first call is not the component's doing
    np.random.seed(1234)  # the legacy global state is what is guarded
    state = np.random.get_state()[1].tolist()  # type: ignore[index]
    environment = dict(os.environ)
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
    require(dict(os.environ) == environment, "it changes the environment")
    for name, ours, theirs in zip(Settings._fields, global_settings(), settings, strict=True):
        require(ours == theirs, f"it changes the global {name} from {theirs} to {ours}")


@check()
def calls_are_forgotten(subject: Subject) -> None:
    """Inputs and outputs of a call are released: no call makes the component keep more."""
    instance = subject.make_like_built()
    sizes, tensors = [], []
    for _ in range(_CALLS):
        inputs = {key: ops.convert_to_tensor(array) for key, array in subject.arrays().items()}
        outputs = keras.tree.flatten(subject.call(instance, inputs))
        involved = (*inputs.values(), *outputs)
        tensors.append([weakref.ref(tensor) for tensor in involved if tensor is not None])
        sizes.append(_kept_items(instance))
    del inputs, outputs, involved
    if _held(tensors) >= _CALLS - 1:
        gc.collect()  # what hangs in a circle is garbage, too; searching for it takes long
    held = _held(tensors)
    require(held < _CALLS - 1, f"it keeps tensors of {held} calls of {_CALLS}")
    grows = all(a < b for a, b in itertools.pairwise(sizes))
    require(not grows, f"its attributes hold {sizes[0]} items after a call, {sizes[-1]} at last")


def _held(calls: list[list[Any]]) -> int:
    """Of how many calls any tensor is still there."""
    return sum(any(tensor() is not None for tensor in call) for call in calls)


def _kept_items(instance: Any) -> int:
    """Return how many items the attributes of a layer hold that are containers of Python."""
    containers = (list, dict, set, collections.deque)
    return sum(len(value) for value in vars(instance).values() if isinstance(value, containers))


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
