"""Saves to one path for ever, until somebody kills it: the victim of `test_processes.py`.

    python saver.py TARGET MODE NUMBER

MODE `keras` saves models with `save_model`; `forged` goes the same way without Keras. Each file
says in its weights who wrote it: NUMBER, in all of them.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from model_forge import Forge, dense_weights, seal, sequential

from dl_techniques.core.archive import Archive
from dl_techniques.core.atomic import replacing


def forged(number: int) -> Callable[[Path], None]:
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


def real(number: int) -> Callable[[Path], None]:
    import keras

    from dl_techniques.core import save_model

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.set_weights([np.full((4, 3), number, "float32"), np.full(3, number, "float32")])
    return lambda target: save_model(model, target)


def main() -> None:
    target, mode, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    save = (real if mode == "keras" else forged)(number)
    save(target)
    print("ready", flush=True)
    for _ in itertools.count():
        save(target)


if __name__ == "__main__":
    main()
