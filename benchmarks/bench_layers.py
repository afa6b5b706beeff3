"""Time layers against peers on the same backend, in one process, in alternating runs.

    KERAS_BACKEND=jax python benchmarks/bench_layers.py [NAME ...] [--runs 15] [--json FILE]

Each row is a ratio, ours over the peer's, and below one is better: the median over alternating
runs, forward (at inference) and forward with the gradients of input and weights (in training).
TensorFlow compiles with XLA and JAX with `jax.jit`; PyTorch runs eagerly, as Keras and timm do by
default, or with `--compile` through `torch.compile`. One thread, and CPU time: what else runs on
the machine then hardly counts. `--profile` shows what takes the time where ours is slower.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# Before the backends read them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("NPROC", "1")

import keras  # after the settings above
import numpy as np
from layer_cases import NAMES, Case
from specialized_cases import SPECIALIZED
from tqdm import tqdm

from dl_techniques.core import registry

BACKEND = keras.backend.backend()
CASES = {**NAMES, **SPECIALIZED}
SAMPLE_SECONDS = 0.03
"""A sample repeats the call until it takes about as long as this."""

Call = Callable[[], Any]


class Row(NamedTuple):
    """One ratio: milliseconds of ours and the peer's, and the median of the runs' ratios."""

    name: str
    mode: str
    ours: float
    peer: float
    ratio: float


# Making calls, a backend each


def keras_call(layer: Any, x: Any, training: bool) -> Call:
    """A compiled call of a Keras layer that returns when its result is there."""
    settings = {"training": training} if takes_training(layer) else {}
    layer(x, **settings)
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch_keras}[BACKEND](
        lambda x: layer(x, **settings), layer, x, training
    )


def takes_training(layer: Any) -> bool:
    """Return whether the layer behaves differently in training."""
    parameters = inspect.signature(layer.call).parameters
    return isinstance(layer, keras.Model) or "training" in parameters


def _tensorflow(call: Any, layer: Any, x: Any, training: bool) -> Call:
    import tensorflow as tf

    x = tf.constant(x)
    if not training:
        compiled = tf.function(call, jit_compile=True)
        return lambda: np.asarray(compiled(x))
    g = tf.random.normal(call(x).shape, seed=0)

    @tf.function(jit_compile=True)
    def gradients(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(call(x) * g)
        return tape.gradient(value, [x, *(v.value for v in layer.trainable_variables)])

    return lambda: np.asarray(gradients(x)[0])


def _jax(call: Any, layer: Any, x: Any, training: bool) -> Call:
    import jax

    variables = layer.variables
    values, x = [v.value for v in variables], jax.numpy.asarray(x)

    def pure(values: Any, x: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return call(x)

    if not training:
        compiled = jax.jit(pure)
        return lambda: jax.block_until_ready(compiled(values, x))
    g = jax.random.normal(jax.random.key(0), call(x).shape)
    trainable = [v.trainable for v in variables]

    def scalar(chosen: Any, x: Any) -> Any:
        chosen = iter(chosen)
        mixed = [next(chosen) if t else v for t, v in zip(trainable, values, strict=True)]
        return (pure(mixed, x) * g).sum()

    gradients = jax.jit(jax.grad(scalar, argnums=(0, 1)))
    chosen = [v for t, v in zip(trainable, values, strict=True) if t]
    return lambda: jax.block_until_ready(gradients(chosen, x))


def _torch_keras(call: Any, layer: Any, x: Any, training: bool) -> Call:
    weights = [v.value for v in layer.trainable_variables]
    return torch_call(call, weights, x, training)


def torch_call(call: Any, weights: Any, x: Any, training: bool) -> Call:
    """A call of a torch function, eager or compiled."""
    import torch

    x = torch.tensor(x, requires_grad=training)
    if ARGUMENTS.compile:
        call = torch.compile(call)
    if not training:

        def forward() -> Any:
            with torch.inference_mode():
                return call(x)

        return forward
    g = torch.randn(call(x).shape, generator=torch.Generator().manual_seed(0))
    return lambda: torch.autograd.grad((call(x) * g).sum(), [x, *weights], allow_unused=True)


def update_call(layer: Any, x: Any) -> Call:
    """A compiled call in training of a layer that moves its own state, without gradients."""
    layer(x, training=True)
    if BACKEND == "jax":
        import jax

        state = [v.value for v in layer.non_trainable_variables]
        compiled = jax.jit(lambda state, x: layer.stateless_call([], state, x, training=True)[1])
        x = jax.numpy.asarray(x)
        return lambda: jax.block_until_ready(compiled(state, x))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        compiled = tf.function(lambda x: layer(x, training=True), jit_compile=True)
        return lambda: [np.asarray(output) for output in compiled(x)]
    import torch

    x = torch.tensor(x)
    return torch.no_grad()(lambda: layer(x, training=True))


def peer_call(case: Case, x: Any, training: bool) -> Call:
    """The peer's call: torch modules on PyTorch, Keras's built-ins elsewhere."""
    if case.host is not None:
        function = case.host()
        return lambda: function(x)
    if BACKEND != "torch":
        return keras_call(case.builtin(case.shape), x, training)
    declare_torchvision()
    module = case.torch().train(training)
    if case.channels_first:
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    return torch_call(module, weights, x, training)


def declare_torchvision() -> None:
    """Let timm import a torchvision whose compiled operators are missing."""
    import torch

    with contextlib.suppress(RuntimeError):  # they are there
        for name in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", schema)


# Measuring


def empty_layer(training: bool) -> float:
    """Milliseconds of a Keras layer that does nothing, called as the others are."""
    x = np.zeros((1, 1), "float32")
    call = keras_call(keras.layers.Identity(), x, training)
    count = repetitions(call)
    return 1e3 * statistics.median(sample(call, count) for _ in range(ARGUMENTS.runs))


def calls_of(case: Case, mode: str) -> tuple[Call, Call]:
    """Our call and the peer's, on the same input."""
    x = np.random.default_rng(0).normal(size=case.shape).astype("float32")
    x = x if case.inputs is None else case.inputs(case.shape)
    layer = registry.load(case.id)(**case.config)
    training = mode == "forward+backward"
    ours = update_call(layer, x) if mode == "update" else keras_call(layer, x, training)
    return ours, peer_call(case, x, training)


def measure(name: str, mode: str, runs: int, progress: Any) -> Row:
    """Alternate ours and the peer's."""
    calls = calls_of(CASES[name], mode)
    counts = [repetitions(call) for call in calls]
    samples = []
    for run in range(runs):
        order = (0, 1) if run % 2 else (1, 0)
        pair = {i: sample(calls[i], counts[i]) for i in order}
        samples.append((pair[0], pair[1]))
        progress.update()
    ours, peer = (1e3 * statistics.median(s[i] for s in samples) for i in (0, 1))
    ratio = statistics.median(a / b for a, b in samples)
    return Row(name, mode, ours, peer, ratio)


def repetitions(call: Call) -> int:
    """Return how often to call so that a sample is long enough to be timed."""
    call()  # compiles
    call()
    return max(1, round(SAMPLE_SECONDS / sample(call, 3)))


def sample(call: Call, count: int) -> float:
    """Seconds of CPU a call."""
    start = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - start) / count


def profile(name: str, mode: str) -> str:
    """Print the slowest functions, ours first: torch's profiler, or Python's."""
    import cProfile
    import io
    import pstats

    texts = []
    for call in calls_of(CASES[name], mode):
        call()
        if BACKEND == "torch":
            from torch.profiler import profile as torch_profile

            with torch_profile() as recorded:
                for _ in range(20):
                    call()
            table = recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=12)
            texts.append(str(table))
            continue
        python = cProfile.Profile()
        python.enable()
        sample(call, 20)
        python.disable()
        stream = io.StringIO()
        pstats.Stats(python, stream=stream).sort_stats("tottime").print_stats(10)
        texts.append(stream.getvalue())
    return f"== {name}, ours ==\n{texts[0]}\n== {name}, peer ==\n{texts[1]}"


def measure_all(names: list[str]) -> tuple[list[Row], list[str]]:
    """The rows of all cases, and what failed."""
    rows, failures = [], []
    total = sum(len(CASES[name].modes) for name in names) * ARGUMENTS.runs
    with tqdm(total=total, unit="run") as progress:
        for name in names:
            progress.set_description(name)
            for mode in CASES[name].modes:
                try:
                    rows.append(measure(name, mode, ARGUMENTS.runs, progress))
                except Exception as error:  # a peer that fails on a backend is a result, too
                    failures.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
    return rows, failures


def report(rows: list[Row], failures: list[str]) -> None:
    """Print the table."""
    print(f"{BACKEND}, Keras {keras.__version__}: milliseconds, and ours over the peer's")
    for row in rows:
        peer = CASES[row.name].peer.split(" | ")[0 if BACKEND == "torch" else -1]
        times = f"{row.ours:9.3f} {row.peer:9.3f} {row.ratio:7.2f}"
        print(f"{row.name:26} {row.mode:17} {times}  {peer}{speed(row)}")
    for training in (False, True):
        mode = "forward+backward" if training else "forward"
        print(f"{'an empty Keras layer':26} {mode:17} {empty_layer(training):9.3f}")
    for failure in failures:
        print(f"failed: {failure}")


def speed(row: Row) -> str:
    """Megapixels a second of a filter of images and of its peer."""
    case = CASES[row.name]
    if case.inputs is None:
        return ""
    kilopixels = case.shape[1] * case.shape[2] / 1e3
    return f" ({kilopixels / row.ours:.1f} and {kilopixels / row.peer:.1f} megapixels/s)"


def main() -> int:
    """Measure, print, and write what was asked for."""
    names = ARGUMENTS.names or list(CASES)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        print(f"There is no case {unknown[0]!r}. The cases are {', '.join(CASES)}.")
        return 2
    rows, failures = measure_all(names)
    report(rows, failures)
    if ARGUMENTS.json:
        figures = {
            "backend": BACKEND,
            "keras": keras.__version__,
            "python": sys.version.split()[0],
            "rows": [row._asdict() for row in rows],
            "failures": failures,
        }
        Path(ARGUMENTS.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if ARGUMENTS.profile:
        for row in rows:
            if row.ratio > 1:
                print(profile(row.name, row.mode))
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; by default all")
    parser.add_argument("--runs", type=int, default=15, help="alternating runs a case")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--compile", action="store_true", help="torch.compile on PyTorch")
    parser.add_argument("--profile", action="store_true", help="profile what is above one")
    return parser.parse_args()


ARGUMENTS = arguments() if __name__ == "__main__" else argparse.Namespace(compile=False)

if __name__ == "__main__":
    sys.exit(main())
