"""Time deployed models against timm, or keras.applications, in one process, in alternating runs.

    KERAS_BACKEND=torch python benchmarks/bench_deploy.py [NAME ...] [--batch 1 8] [--runs 15]

On PyTorch the peers are those of timm, eagerly and through `torch.compile`; on TensorFlow and JAX
those of keras.applications, compiled in the same way as ours; the nearest to EfficientNet-Lite0 is
EfficientNetB0, with squeeze and excitation. Each figure is the median over
alternating runs of CPU time over the peer's; one thread. Below one is better. The last column is
the largest difference between the deployed model and the model that it was made of, relative to
the largest output.
"""

from __future__ import annotations

import argparse
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
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("NPROC", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "pretrained"))

import keras  # after the settings above
import numpy as np

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.layers import (
    ClassToken,
    ConvNeXtV1Block,
    PatchEmbedding,
    PositionalEmbedding,
    VisionTransformerLayer,
)

BACKEND = keras.backend.backend()
SIDE = 224
Call = Callable[[], Any]


def vit_tiny() -> Any:
    """ViT-Ti/16."""
    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = ClassToken()(PatchEmbedding(16, 192)(x))
    x = PositionalEmbedding(grid_size=(14, 14), prefix_tokens=1)(x)
    for _ in range(12):
        x = VisionTransformerLayer(3)(x)
    x = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    return keras.Model(inputs, keras.layers.Dense(1000)(x[:, 0]))


def convnext_tiny() -> Any:
    """ConvNeXt-T."""
    layers = keras.layers
    x = inputs = keras.Input((SIDE, SIDE, 3))
    for stage, (depth, width) in enumerate(zip((3, 3, 9, 3), (96, 192, 384, 768), strict=True)):
        size = 2 if stage else 4
        if stage:
            x = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Conv2D(width, size, strides=size)(x)
        if not stage:
            x = layers.LayerNormalization(epsilon=1e-6)(x)
        for _ in range(depth):
            x = ConvNeXtV1Block()(x)
    x = layers.LayerNormalization(epsilon=1e-6)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(1000)(x))


def efficientnet_lite0() -> Any:
    """EfficientNet-Lite0, as the example builds it."""
    import efficientnet_lite0 as example

    return example.build()


MODELS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "vit_tiny": (vit_tiny, "vit_tiny_patch16_224", ""),
    "convnext_tiny": (convnext_tiny, "convnext_tiny", "ConvNeXtTiny"),
    "efficientnet_lite0": (efficientnet_lite0, "tf_efficientnet_lite0", "EfficientNetB0"),
}


def draw_weights(model: Any) -> None:
    """Weights that keep the numbers in range, with statistics that are no identity."""
    random = np.random.default_rng(0)
    for variable in model.weights:
        fan = int(np.prod(variable.shape[:-1])) or 1
        values = random.normal(size=variable.shape, scale=min(1.0, fan**-0.5))
        if any(word in variable.path for word in ("gamma", "variance")):
            values = 1 + 0.1 * random.random(variable.shape)
        if "seed" not in variable.path:
            variable.assign(values)


def peers(name: str, x: Any, compile_peer: bool) -> dict[str, Call]:
    """What to compare with."""
    if BACKEND != "torch":
        found = MODELS[name][2]
        if not found:
            return {}
        make = getattr(keras.applications, found)
        settings = {"include_preprocessing": False} if "ConvNeXt" in found else {}
        model = make(weights=None, **settings)
        function = W.compiled(model, x.shape)
        return {f"keras.applications.{found}": lambda: ready(function(x))}
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        # A wheel of torchvision for another build of torch lacks them.
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm

    peer = timm.create_model(MODELS[name][1]).eval()
    images = torch.tensor(x).permute(0, 3, 1, 2).contiguous()
    calls: dict[str, Call] = {"timm": lambda: peer(images)}
    if compile_peer:
        faster = torch.compile(peer)
        with torch.no_grad():
            faster(images)
        calls["timm compiled"] = lambda: faster(images)
    return calls


def ready(outputs: Any) -> Any:
    """Wait for what JAX computes."""
    return outputs.block_until_ready() if BACKEND == "jax" else outputs


def tensor(x: Any) -> Any:
    """The input on the backend."""
    return keras.ops.convert_to_tensor(x)


def timed(calls: dict[str, Call], runs: int) -> dict[str, list[float]]:
    """CPU seconds of each call, in turn; the first two rounds do not count."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs + 2):
        for name, call in calls.items():
            start = time.process_time()
            call()
            found[name].append(time.process_time() - start)
    return {name: seconds[2:] for name, seconds in found.items()}


def compare(name: str, batch: int, runs: int, compile_peer: bool) -> None:
    """Print a row for each peer."""
    model = MODELS[name][0]()
    draw_weights(model)
    deployed = W.deploy(model)
    x = np.random.default_rng(1).normal(size=(batch, SIDE, SIDE, 3)).astype("float32")
    given = tensor(x)
    function = W.compiled(deployed, x.shape)
    plain = W.compiled(model, x.shape)
    ours, theirs = (np.asarray(keras.ops.convert_to_numpy(f(given))) for f in (function, plain))
    error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    calls: dict[str, Call] = {
        "deployed": lambda: ready(function(given)),
        "compiled only": lambda: ready(plain(given)),
    }
    others = peers(name, x, compile_peer)
    seconds = timed(calls | others, runs)
    for own in calls:
        for other in others:
            pairs = zip(seconds[own], seconds[other], strict=True)
            ratio = statistics.median(a / b for a, b in pairs)
            ms = [1e3 * statistics.median(seconds[n]) for n in (own, other)]
            print(
                f"{name:<20}{batch:>3}  {own:<14}{ms[0]:>9.1f}{ms[1]:>9.1f}{ratio:>7.2f}  "
                f"{other:<34}{error:.0e}",
                flush=True,
            )


def main() -> int:
    """Compare the models that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MODELS, []], metavar="NAME")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="also against torch.compile")
    options = parser.parse_args()
    if BACKEND == "torch":
        import torch

        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
    print(f"{BACKEND}, Keras {keras.version()}: milliseconds of ours and the peer's, ratio, error")
    for name in options.names or MODELS:
        for batch in options.batch:
            compare(name, batch, options.runs, options.compile)
    return 0


if __name__ == "__main__":
    sys.exit(main())
