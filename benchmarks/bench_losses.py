"""Time losses, metrics and box functions against peers in one process, in alternating runs.

    KERAS_BACKEND=torch python benchmarks/bench_losses.py [NAME ...] [--runs 11] [--json FILE]

Each row has two ratios, ours over the peer's, and below one is better: the median over alternating
runs of CPU time, and the memory of a call. Losses are timed with the gradient of the predictions.
The peers run in PyTorch (eagerly) or NumPy; on JAX and TensorFlow ours are compiled, so that these
rows compare a compiled with an eager function. The peer of the detection loss and its assigner is
`detection_peer.py`, written from their formulas; both grow by boxes and anchors down the rows.

Memory is what a call of a warm function adds, at the highest, to what the process already holds;
Linux alone tells.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
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


def greedy(b: Any, s: Any) -> list[int]:
    """Suppress to 100 boxes by a loop in NumPy."""
    area = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    left, kept = np.argsort(-s), []
    while len(left) and len(kept) < 100:
        i, left = left[0], left[1:]
        kept.append(int(i))
        wh = np.minimum(b[i, 2:], b[left, 2:]) - np.maximum(b[i, :2], b[left, :2])
        inter = np.maximum(wh, 0).prod(-1)
        left = left[inter / (area[i] + area[left] - inter) <= 0.5]
    return kept


def suppression(count: int) -> tuple[Call, Call]:
    """Suppression to 100 boxes."""
    rng = np.random.default_rng(0)
    b, s = boxes(count, rng), rng.random(count).astype("float32")
    return plain(lambda b, s: tuple(bbox_nms(b, s, 0.5, 100)), b, s), lambda: greedy(b, s)


def detection(side: int, objects: int) -> tuple[Call, Call]:
    """The detection loss with gradients, two images of 20 classes."""
    import torch
    from detection_peer import DetectionLoss

    loss, peer = YOLOv12ObjectDetectionLoss(20, (side, side)), DetectionLoss(side)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, loss.num_anchors, 84)).astype("float32")
    corners = np.minimum(boxes(objects, rng, 2) * (side / 640), side)
    y = np.concatenate([rng.integers(0, 20, (2, objects, 1)), corners], -1).astype("float32")
    targets, x = torch.tensor(y), torch.tensor(z, requires_grad=True)
    return with_gradient(loss, y, z), lambda: torch.autograd.grad(peer(targets, x), x)


def assigner(side: int, objects: int) -> tuple[Call, Call]:
    """The assigner alone."""
    import torch
    from detection_peer import assign

    rng = np.random.default_rng(0)
    anchors = rng.uniform(0, side, (side * side * 21 // 1024, 2)).astype("float32")
    scores = rng.random((2, len(anchors), 20)).astype("float32")
    kinds = rng.integers(0, 20, (2, objects)).astype("int32")
    predicted, true = boxes(len(anchors), rng, 2), boxes(objects, rng, 2)

    def call(s: Any, p: Any, t: Any, k: Any) -> Any:
        return tuple(task_aligned_assigner(s, p, keras.ops.convert_to_tensor(anchors), t, k))

    points, *arrays = (
        torch.tensor(a) for a in (anchors, scores, predicted, true, kinds.astype(int))
    )

    def peer() -> Any:
        return [assign(s, p, points, t, k) for s, p, t, k in zip(*arrays, strict=True)]

    return plain(call, scores, predicted, true, kinds), peer


CASES: dict[str, Callable[[], tuple[Call, Call]]] = {
    "DiceLoss 128x128 / monai": lambda: dice(128),
    "DiceLoss 256x256 / monai": lambda: dice(256),
    "ECE 100,000 / torchmetrics": lambda: calibration(100_000),
    "NMS 500 / NumPy loop": lambda: suppression(500),
    "NMS 2,000 / NumPy loop": lambda: suppression(2_000),
    "NMS 8,000 / NumPy loop": lambda: suppression(8_000),
    "detection 320 px, 10 objects": lambda: detection(320, 10),
    "detection 320 px, 40 objects": lambda: detection(320, 40),
    "detection 640 px, 10 objects": lambda: detection(640, 10),
    "detection 640 px, 40 objects": lambda: detection(640, 40),
    "assigner 320 px, 10 objects": lambda: assigner(320, 10),
    "assigner 320 px, 40 objects": lambda: assigner(320, 40),
    "assigner 640 px, 10 objects": lambda: assigner(640, 10),
    "assigner 640 px, 40 objects": lambda: assigner(640, 40),
}


def require_equal_peer() -> None:
    """Check that the detection loss and its peer compute the same."""
    import torch
    from detection_peer import DetectionLoss

    rng = np.random.default_rng(1)
    z = rng.normal(size=(2, 84, 84)).astype("float32")
    corners = boxes(5, rng, 2) / 10
    y = np.concatenate([rng.integers(-1, 20, (2, 5, 1)), corners], -1).astype("float32")
    ours = float(keras.ops.convert_to_numpy(YOLOv12ObjectDetectionLoss(20, (64, 64))(y, z)))
    theirs = float(DetectionLoss(64)(torch.tensor(y), torch.tensor(z)))
    if not np.isclose(ours, theirs, rtol=1e-4):
        raise AssertionError(f"the peer's loss is {theirs}, ours {ours}")


def seconds(call: Call) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def call_memory(call: Call) -> float:
    """MiB that a warm call adds to what the process holds."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status")

    def mebibytes(key: str) -> float:
        line = next(line for line in status.read_text().splitlines() if line.startswith(key))
        return float(line.split()[1]) / 1024

    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest
    before = mebibytes("VmRSS")
    result = call()
    added = mebibytes("VmHWM") - before
    del result
    return added


def measure(name: str, runs: int) -> dict[str, Any]:
    """Return one row of the table."""
    calls = CASES[name]()
    for call in calls:
        call()
    samples = [[seconds(call) for call in calls] for _ in range(runs)]
    memory = [max(call_memory(call) for _ in range(3)) for call in calls]
    return {
        "name": name,
        "ms": 1000 * statistics.median(sample[0] for sample in samples),
        "peer_ms": 1000 * statistics.median(sample[1] for sample in samples),
        "ratio": statistics.median(a / max(b, 1e-9) for a, b in samples),
        "mib": memory[0],
        "peer_mib": memory[1],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="only rows that contain one of these words")
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    require_equal_peer()
    chosen = [
        name
        for name in CASES
        if not arguments.names or any(word in name for word in arguments.names)
    ]
    rows = [measure(name, arguments.runs) for name in tqdm(chosen, unit="row")]
    print(f"\n{BACKEND}, Keras {keras.__version__}, median of {arguments.runs} runs, CPU time")
    print(f"{'':32}{'ms':>9}{'peer':>9}{'ratio':>7}{'MiB':>9}{'peer':>9}{'ratio':>7}")
    for row in rows:
        times = f"{row['ms']:>9.2f}{row['peer_ms']:>9.2f}{row['ratio']:>7.2f}"
        share = f"{row['mib'] / row['peer_mib']:>7.2f}" if row["peer_mib"] >= 1 else f"{'':>7}"
        print(f"{row['name']:32}{times}{row['mib']:>9.1f}{row['peer_mib']:>9.1f}{share}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
