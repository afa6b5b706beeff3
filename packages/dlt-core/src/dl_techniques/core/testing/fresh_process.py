"""Loading a file in a process that has imported nothing of its components.

Starting an interpreter with a backend takes seconds, so one child serves a whole session. After
each file it forgets every class that the file brought, as if it had just been started.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dl_techniques.core.testing.continuation import Continuation

_SERVER = """
import json, sys
from pathlib import Path
import keras, numpy as np
from dl_techniques.core import load_model, registry
from dl_techniques.core.testing.composed import FunctionalStyle
from dl_techniques.core.testing.continuation import go_on

registry.list()
modules, names = set(sys.modules), set(keras.saving.get_custom_objects())
for line in sys.stdin:
    request = json.loads(line)
    try:
        model = load_model(request["model"])
        inputs = [np.load(path) for path in request["inputs"]]
        go_on(model, inputs, across=True).save(Path(request["folder"]))
        answer = {}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print("ANSWER " + json.dumps(answer), flush=True)
    # What the file's components brought: the next file must find them by itself.
    for name in set(keras.saving.get_custom_objects()) - names:
        holder = keras.saving.get_custom_objects().pop(name)
        sys.modules.pop(holder.__module__, None)
    for name in list(sys.modules):
        if name.startswith("dl_techniques.") and name not in modules:
            parent = sys.modules.get(name.rpartition(".")[0])
            if parent is not None:
                vars(parent).pop(name.rpartition(".")[2], None)
            del sys.modules[name]
"""

_child: subprocess.Popen[str] | None = None
_path: str | None = None  # PYTHONPATH when it was started: what it can find


def fresh_continuation(model: keras.Model, inputs: list[Any]) -> Continuation:
    """Save a model, load it elsewhere through `dl_techniques.core`, and train it on there.

    Args:
        model: The compiled model.
        inputs: Its input arrays.

    Raises:
        AssertionError: If the other process cannot load it; the text is its error.
    """
    from dl_techniques.core.files.save import save_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        save_model(model, path)
        paths = [str(Path(folder) / f"input_{index}.npy") for index in range(len(inputs))]
        for target, array in zip(paths, inputs, strict=True):
            np.save(target, array)
        answer = _ask({"model": str(path), "inputs": paths, "folder": folder})
        if "error" in answer:
            raise AssertionError(f"a fresh process cannot load it: {answer['error']}")
        return Continuation.load(Path(folder))


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    global _child, _path  # noqa: PLW0603  # one child a process, started when it is first needed
    path = os.environ.get("PYTHONPATH")
    if _child is not None and path != _path:
        _child.kill()
        _child.communicate()
    if _child is None or _child.poll() is not None:
        _path = path
        _child = subprocess.Popen(  # noqa: S603  # our own interpreter and script
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        atexit.register(_child.kill)
    assert _child.stdin is not None
    assert _child.stdout is not None
    _child.stdin.write(json.dumps(request) + "\n")
    _child.stdin.flush()
    for line in _child.stdout:
        if line.startswith("ANSWER "):
            answer: dict[str, Any] = json.loads(line[len("ANSWER ") :])
            return answer
    return {"error": f"the process ended with exit code {_child.wait()}"}
