"""Time losses, metrics and box functions against peers in one process, in alternating runs.

    KERAS_BACKEND=torch python benchmarks/bench_losses.py [NAME ...] [--runs 11] [--json FILE]

Each row is a ratio, ours over the peer's, and below one is better: the median over alternating
runs of CPU time. Losses are timed with the gradient of the predictions. The peers run in PyTorch
(eagerly) or NumPy; on JAX and TensorFlow ours are compiled, so that these rows compare a compiled
with an eager function. Where there is no installable peer (the detection loss and its assigner),
rows show how time grows with boxes and anchors. Memory is the peak of a fresh process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before the backends read them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import keras  # after the settings above
import numpy as np
from tqdm import tqdm

from dl_techniques.losses import (
    DiceLoss,
    YOLOv12ObjectDetectionLoss,
    bbox_nms,
    task_aligned_assigner,
)
from dl_techniques.metrics import expected_calibration_error

BACKEND = keras.backend.backend()
Call = Callable[[], Any]


def with_gradient(function: Any, y: Any, x: Any) -> Call:
    """A call of a loss and its gradient by predictions, compiled where the backend compiles."""
    y = keras.ops.convert_to_tensor(y)
    if BACKEND == "jax":
        import jax

        compiled = jax.jit(jax.value_and_grad(lambda x: function(y, x)))
        x = jax.numpy.asarray(x)
        return lambda: jax.block_until_ready(compiled(x))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)

        @tf.function(jit_compile=True)
        def gradient() -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(y, x)
            return tape.gradient(value, x)

        return lambda: gradient().numpy()
    import torch

    x = torch.tensor(x, requires_grad=True)
    return lambda: torch.autograd.grad(function(y, x), x)


def plain(function: Any, *arrays: Any) -> Call:
    """A call without gradient."""
    tensors = [keras.ops.convert_to_tensor(a) for a in arrays]
    if BACKEND == "jax":
        import jax

        compiled = jax.jit(function)
        return lambda: jax.block_until_ready(compiled(*tensors))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        compiled = tf.function(function, jit_compile=True)
        return lambda: keras.tree.map_structure(np.asarray, compiled(*tensors))
    return lambda: function(*tensors)


def boxes(count: int, rng: Any, batch: int | None = None) -> Any:
    """Random corners within 640 pixels."""
    shape = (count, 2) if batch is None else (batch, count, 2)
    corner = rng.uniform(0, 500, shape)
    return np.concatenate([corner, corner + rng.uniform(10, 140, shape)], -1).astype("float32")


LIBRARIES: list[Any] = []


def declare_torchvision() -> None:
    """Declare the operators that torchvision registers at import, which a CPU build misses."""
    import torch

    if not LIBRARIES:
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        LIBRARIES.append(library)


def dice(side: int) -> tuple[Call, Call]:
    """Dice with gradients, four classes."""
    declare_torchvision()
    import torch
    from monai.losses import DiceLoss as Peer

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (4, side, side))
    z = rng.normal(size=(4, side, side, 4)).astype("float32")
    columns = torch.tensor(np.eye(4, dtype="float32")[labels].transpose(0, 3, 1, 2))
    x = torch.tensor(z.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    peer = Peer(softmax=True)
    ours = with_gradient(DiceLoss(from_logits=True), labels.astype("int32"), z)
    return ours, lambda: torch.autograd.grad(peer(x, columns), x)


def calibration(count: int) -> tuple[Call, Call]:
    """Expected calibration error of ten classes."""
    declare_torchvision()
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(10), count).astype("float32"), rng.integers(0, 10, count)
    tensors = torch.tensor(p), torch.tensor(y)
    return (
        lambda: expected_calibration_error(y, p),
        lambda: multiclass_calibration_error(*tensors, num_classes=10, n_bins=15),
    )


def suppression(count: int) -> tuple[Call, Call]:
    """Suppression to 100 boxes; the peer is a greedy loop in NumPy."""
    rng = np.random.default_rng(0)
    b, s = boxes(count, rng), rng.random(count).astype("float32")

    def peer() -> list[int]:
        area = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        left, kept = np.argsort(-s), []
        while len(left) and len(kept) < 100:
            i, left = left[0], left[1:]
            kept.append(int(i))
            wh = np.minimum(b[i, 2:], b[left, 2:]) - np.maximum(b[i, :2], b[left, :2])
            inter = np.maximum(wh, 0).prod(-1)
            left = left[inter / (area[i] + area[left] - inter) <= 0.5]
        return kept

    return plain(lambda b, s: tuple(bbox_nms(b, s, 0.5, 100)), b, s), peer


def detection(side: int, objects: int) -> Call:
    """The detection loss with gradients, two images of 20 classes."""
    loss = YOLOv12ObjectDetectionLoss(20, (side, side))
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, loss.num_anchors, 84)).astype("float32")
    y = np.concatenate([rng.integers(0, 20, (2, objects, 1)), boxes(objects, rng, 2)], -1)
    return with_gradient(loss, y.astype("float32"), z)


def assigner(side: int, objects: int) -> Call:
    """The assigner alone."""
    rng = np.random.default_rng(0)
    anchors = rng.uniform(0, side, (side * side * 21 // 1024, 2)).astype("float32")
    scores = rng.random((2, len(anchors), 20)).astype("float32")
    kinds = rng.integers(0, 20, (2, objects)).astype("int32")

    def call(s: Any, p: Any, t: Any, k: Any) -> Any:
        return tuple(task_aligned_assigner(s, p, keras.ops.convert_to_tensor(anchors), t, k))

    return plain(call, scores, boxes(len(anchors), rng, 2), boxes(objects, rng, 2), kinds)


PAIRS: dict[str, Callable[[], tuple[Call, Call]]] = {
    "DiceLoss 128x128 / monai": lambda: dice(128),
    "DiceLoss 256x256 / monai": lambda: dice(256),
    "ECE 100,000 / torchmetrics": lambda: calibration(100_000),
    "NMS 2,000 / NumPy loop": lambda: suppression(2_000),
}
SCALING: dict[str, Callable[[], Call]] = {
    "detection 320 px, 10 objects": lambda: detection(320, 10),
    "detection 320 px, 40 objects": lambda: detection(320, 40),
    "detection 640 px, 10 objects": lambda: detection(640, 10),
    "detection 640 px, 40 objects": lambda: detection(640, 40),
    "assigner 320 px, 10 objects": lambda: assigner(320, 10),
    "assigner 640 px, 40 objects": lambda: assigner(640, 40),
}


def seconds(call: Call) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def peak_memory(name: str) -> float:
    """MiB that a call adds to the peak of a fresh process."""
    command = [sys.executable, __file__, "--peak", name]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(answer.split()[-1])


def print_peak(name: str) -> None:
    """Print what the fresh process of `peak_memory` measures."""
    call = PAIRS[name]()[0] if name in PAIRS else SCALING[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="only rows that contain one of these words")
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print_peak(arguments.peak)
        return 0
    chosen = [
        name
        for name in (*PAIRS, *SCALING)
        if not arguments.names or any(word in name for word in arguments.names)
    ]
    rows = []
    for name in tqdm(chosen, unit="row"):
        calls = PAIRS[name]() if name in PAIRS else (SCALING[name](),)
        for call in calls:
            call()
        samples = [[seconds(call) for call in calls] for _ in range(arguments.runs)]
        ours = statistics.median(sample[0] for sample in samples)
        ratio = None
        if len(calls) == 2:
            ratio = statistics.median(a / max(b, 1e-9) for a, b in samples)
        rows.append(
            {"name": name, "ms": 1000 * ours, "ratio": ratio, "peak_mib": peak_memory(name)}
        )
    print(f"\n{BACKEND}, Keras {keras.__version__}, median of {arguments.runs} runs, CPU time")
    print(f"{'':34}{'ours [ms]':>11}{'ours/peer':>11}{'peak [MiB]':>12}")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(f"{row['name']:34}{row['ms']:>11.2f}{ratio:>11}{row['peak_mib']:>12.0f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
