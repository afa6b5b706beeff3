"""Writers that save to one path for ever, until somebody kills them: for `test_processes.py`.

    python saver.py MODE

Each line of standard input, `NUMBER SECONDS TARGET`, makes one more writer; each line of the
answer, `NUMBER PROCESS`, says that one has saved its first file. It dies after SECONDS of the
processor; 0 is for ever. MODE `keras` saves models with `save_model`; `forged` goes the same way
without Keras. Each file says in its weights who wrote it: NUMBER, in all of them.

A writer is a fork of this process, which has imported everything and started no thread: an
interpreter for each would cost more than all that it is to show.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from model_forge import Forge, dense_weights, seal, sequential

from dl_techniques.core.atomic_write import replacing
from dl_techniques.core.files.archive import Archive

Save = Callable[[Path], None]


def forged(number: int) -> Save:
    def weights(file: Any) -> None:
        dense_weights(file)
        file["layers/dense/vars/0"][:] = number
        file["layers/dense/vars/1"][:] = number

    made = Forge(sequential(), weights)

    def save(target: Path) -> None:
        with replacing(target) as temporary:
            seal(made.write(temporary))
            with Archive(temporary) as archive:
                archive.document("config.json")

    return save


def real(number: int) -> Save:
    import keras

    from dl_techniques.core import save_model

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.set_weights([np.full((4, 3), number, "float32"), np.full(3, number, "float32")])
    return lambda target: save_model(model, target)


def write_for_ever(make: Callable[[int], Save], number: int, life: float, target: Path) -> None:
    save = make(number)
    save(target)
    os.write(1, f"{number} {os.getpid()}\n".encode())
    # Its own time of the processor counts; the signal ends a process that has no handler.
    signal.setitimer(signal.ITIMER_PROF, life)
    while True:
        save(target)


def main() -> None:
    make = {"forged": forged, "keras": real}[sys.argv[1]]
    if make is real:
        import dl_techniques.core.files.save  # noqa: F401  # what the writers are to find imported

        with contextlib.suppress(ImportError):
            import tensorflow  # noqa: F401  # Keras does at its first model, wherever it finds it
    threads = len([*Path("/proc/self/task").iterdir()])
    assert threads == 1, f"{threads} threads: a fork could hang"
    # A writer that was killed is to be gone, and nobody waits for it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        number, life, target = line.rstrip("\n").split(" ", 2)
        if not os.fork():
            try:
                write_for_ever(make, int(number), float(life), Path(target))
            finally:
                os._exit(1)  # it must not read on in its maker's place


if __name__ == "__main__":
    main()
