"""Time loading and saving beside Keras's own, on the same files, in one process.

CPU time counts, in alternating runs, and the median of them; memory is the peak of the resident
set during one call, above what the process had before. Linux tells both.
"""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

from dl_techniques.core import load_model, save_model

LARGE, SMALL = "100 MiB of weights", "a small model"
# CPU of ours over Keras's. Saving loads the file once, to know that the model comes back.
LOADING = {LARGE: 1.3}
MEMORY = 1.5  # of the file, beyond the model, while 100 MiB are loaded


def model(layers: int, width: int) -> Any:
    """`layers` square dense layers."""
    parts = [keras.layers.Dense(width) for _ in range(layers)]
    return keras.Sequential([keras.Input((width,)), *parts])


def cpu(action: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    gc.collect()
    started = time.process_time()
    action()
    return time.process_time() - started


def peak(action: Callable[[], Any]) -> int:
    """Bytes by which the resident set grew at the most during one call."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    kept = action()
    status = Path("/proc/self/status").read_text()
    most = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    del kept
    return most * 1024 - before


def ratio(ours: Callable[[], Any], theirs: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Median CPU of ours over that of theirs, and the median of theirs."""
    pairs = [(cpu(ours), cpu(theirs)) for _ in range(runs + 1)][1:]  # the first one imports
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    return a / b, b


def report(runs: int) -> int:
    """Print the ratios; returns how many goals were missed."""
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, made in ((LARGE, model(25, 1024)), (SMALL, model(3, 8))):
            path = Path(folder, "model.keras")
            save_model(made, path)
            loading, base = ratio(
                lambda path=path: load_model(path),
                lambda path=path: keras.saving.load_model(path),
                runs,
            )
            other = Path(folder, "other.keras")
            saving, saved = ratio(
                lambda made=made, path=path: save_model(made, path),
                lambda made=made, other=other: keras.saving.save_model(made, other),
                runs,
            )
            goal = LOADING.get(name)
            missed += goal is not None and loading > goal
            print(
                f"{name}: load {loading:.2f} x Keras's own ({base * 1e3:.0f} ms CPU)"
                f"{f', at most {goal}' if goal else ''}; save {saving:.2f} x ({saved * 1e3:.0f} ms)"
            )
            if name == LARGE and Path("/proc/self/clear_refs").exists():
                size = path.stat().st_size
                beyond = (peak(lambda path=path: load_model(path)) - size) / size
                missed += beyond > MEMORY
                print(f"{name}: {beyond:.2f} x the file in memory beyond the model (at most 1.5)")
    return missed
