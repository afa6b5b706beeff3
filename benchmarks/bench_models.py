"""Time whole models against their published implementations, in one process, in alternating runs.

    KERAS_BACKEND=jax python benchmarks/bench_models.py [NAME ...] [--batch 1 8] [--runs 7]

The vision models at 224 x 224 are compared with timm, eager, which runs beside the backend in the
same process; ConvNeXt-T also with keras.applications on the same backend, TensorFlow and JAX.
Keras's side is compiled: `tf.function` (with `--xla`, `jit_compile` as well), `jax.jit`; on PyTorch
it runs eagerly, as timm does, and at inference also as a traced graph (`weights.compiled`).
"forward" is inference, "forward+backward" training with the gradients of all weights; MobileNetV4
cannot be trained on one image, of which timm's last batch normalization has no variance.

TiRex has its published sizes and random weights, 2048 samples of context and a horizon of 64; its
peer is tirex-ts as it comes, which rounds to bfloat16 on a CPU, and in float32.

Each figure is the median over alternating runs, of CPU time over the peer's and of the clock's;
one thread. Below one is better.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import bench_layers  # sets one thread, before the backends read it
import keras
import numpy as np
from tqdm import tqdm

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.models.convnext import ConvNextV1Tiny
from dl_techniques.models.mobilenet_v4 import MobileNetV4ConvSmall
from dl_techniques.models.tirex import TiRex
from dl_techniques.models.vit import ViTTiny

BACKEND = keras.backend.backend()
SIDE, CONTEXT, HORIZON = 224, 2048, 64
FORWARD, BACKWARD = "forward", "forward+backward"
Call = Callable[[], Any]

VISION: dict[str, tuple[Any, str, str]] = {
    "convnext_tiny": (ConvNextV1Tiny, "convnext_tiny", "ConvNeXtTiny"),
    "vit_tiny": (ViTTiny, "vit_tiny_patch16_224", ""),
    "mobilenet_v4_small": (MobileNetV4ConvSmall, "mobilenetv4_conv_small", ""),
}
NAMES = (*VISION, "tirex")


def draw_weights(model: Any) -> None:
    """Weights that keep numbers in range, in models that start with zeros here and there."""
    random = np.random.default_rng(0)
    for variable in model.weights:
        if "seed" not in variable.path and len(variable.shape) > 1:
            fan = int(np.prod(variable.shape[:-1]))
            variable.assign(random.normal(size=variable.shape, scale=fan**-0.5))


def keras_call(model: Any, x: Any, training: bool, xla: bool) -> Call:
    """A compiled call of a Keras model that returns when its result is there."""
    if BACKEND == "torch":
        weights = [v.value for v in model.trainable_variables]
        return torch_call(lambda x: model(x, training=training), weights, x, training)
    if not training:
        return keras_forward(model, x, xla)
    return _tensorflow_gradients(model, x, xla) if BACKEND == "tensorflow" else _jax(model, x)


def keras_forward(model: Any, x: Any, xla: bool) -> Call:
    """Inference as `compiled` has it, or through XLA on TensorFlow."""
    if not xla:
        function, given = W.compiled(model, x.shape), keras.ops.convert_to_tensor(x)
        return lambda: keras.ops.convert_to_numpy(function(given))
    import tensorflow as tf

    function = tf.function(lambda x: model(x, training=False), jit_compile=True)
    given = tf.constant(x)
    return lambda: np.asarray(function(given))


def _tensorflow_gradients(model: Any, x: Any, xla: bool) -> Call:
    import tensorflow as tf

    x, weights = tf.constant(x), [v.value for v in model.trainable_variables]
    g = tf.random.normal(model(x).shape, seed=0)

    @tf.function(jit_compile=xla)
    def gradients(x: Any) -> Any:
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(model(x, training=True) * g)
        return tape.gradient(value, weights)

    return lambda: [np.asarray(gradient) for gradient in gradients(x)]


def _jax(model: Any, x: Any) -> Call:
    import jax

    x = jax.numpy.asarray(x)
    g = jax.random.normal(jax.random.key(0), model(x).shape)
    weights, state = (
        [v.value for v in part]
        for part in (model.trainable_variables, model.non_trainable_variables)
    )

    def scalar(weights: Any, state: Any, x: Any) -> Any:
        return (model.stateless_call(weights, state, x, training=True)[0] * g).sum()

    gradients = jax.jit(jax.grad(scalar))
    return lambda: jax.block_until_ready(gradients(weights, state, x))


def torch_call(call: Any, weights: Any, x: Any, training: bool) -> Call:
    """An eager call of a torch function."""
    import torch

    x = torch.tensor(x)
    if not training:
        return torch.inference_mode()(lambda: call(x))
    g = torch.randn(call(x).shape, generator=torch.Generator().manual_seed(0))
    return lambda: torch.autograd.grad((call(x) * g).sum(), weights, allow_unused=True)


def vision(name: str, batch: int, mode: str, xla: bool) -> dict[str, Call]:
    """Our calls first, then those of the peers."""
    make, timm_name, application = VISION[name]
    x = np.random.default_rng(1).normal(size=(batch, SIDE, SIDE, 3)).astype("float32")
    training, model = mode == BACKWARD, make(weights=None)
    draw_weights(model)
    calls = {"ours": keras_call(model, x, training, xla)}
    if BACKEND == "torch" and not training:
        calls["ours, traced"] = keras_forward(model, x, xla=False)
    bench_layers.declare_torchvision()
    import timm

    peer = timm.create_model(timm_name).train(training)
    images = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    calls["timm"] = torch_call(peer, list(peer.parameters()), images, training)
    if application and BACKEND != "torch":
        other = getattr(keras.applications, application)(weights=None, include_preprocessing=False)
        calls["keras.applications"] = keras_call(other, x, training, xla)
    return calls


def tirex(batch: int) -> dict[str, Call]:
    """Forecasts of one patch a pass, and of two, by both."""
    import torch
    from tirex.models.slstm.cell import sLSTMCell
    from tirex.models.tirex import TiRexZero

    model = TiRex()
    model.build()
    draw_weights(model)
    sizes = {
        "input_patch_size": 32,
        "output_patch_size": 32,
        "quantiles": list(model.quantiles),
        "block_kwargs": {"num_blocks": 12, "embedding_dim": 512, "num_heads": 4},
        "input_ff_dim": 2048,
    }
    peer = TiRexZero("torch", sizes, train_ctx_len=CONTEXT).eval()
    x = np.random.default_rng(1).normal(size=(batch, CONTEXT)).cumsum(1).astype("float32")
    series, rounded = torch.tensor(x), sLSTMCell._impl_torch

    def in_float32(self: Any, steps: Any, state: Any) -> Any:
        shape = (self.config.num_heads, self.config.num_gates, self.config.head_dim)
        bias = self._bias_.reshape(shape).permute(1, 0, 2).reshape(-1)
        steps = steps.reshape(*steps.shape[:2], -1)
        return self._impl_forward_torch(steps, state, self._recurrent_kernel_, bias)

    def theirs(cell: Any) -> Call:
        def forecast() -> Any:
            sLSTMCell._impl_torch = cell
            with torch.inference_mode():
                return peer._forecast_quantiles(series, HORIZON, max_accelerated_rollout_steps=1)

        return forecast

    return {
        "ours": lambda: model.forecast(x, HORIZON, batch_size=batch),
        "tirex-ts": theirs(rounded),
        "tirex-ts in float32": theirs(in_float32),
    }


def timed(calls: dict[str, Call], runs: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of CPU and of the clock of each call, in turn, after a round that does not count."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for run in range(runs + 1):
        names = list(calls) if run % 2 else list(reversed(calls))
        for name in names:
            start = time.process_time(), time.perf_counter()
            calls[name]()
            stop = time.process_time(), time.perf_counter()
            found[name].append((stop[0] - start[0], stop[1] - start[1]))
    return {name: pairs[1:] for name, pairs in found.items()}


def report(name: str, batch: int, mode: str, found: dict[str, list[tuple[float, float]]]) -> None:
    """Print a row for each call of ours and each peer."""
    own = [call for call in found if call.startswith("ours")]
    for ours, peer in itertools.product(own, [call for call in found if call not in own]):
        pairs = list(zip(found[ours], found[peer], strict=True))
        ratios = [statistics.median(a[clock] / b[clock] for a, b in pairs) for clock in (0, 1)]
        ms = [1e3 * statistics.median(cpu for cpu, _ in found[call]) for call in (ours, peer)]
        line = f"{name:<20}{batch:>3} {mode:<17}{ms[0]:>9.1f}{ms[1]:>9.1f}"
        tqdm.write(f"{line}{ratios[0]:>7.2f}{ratios[1]:>7.2f}  {ours} / {peer}", file=sys.stdout)
        sys.stdout.flush()


def main() -> int:
    """Compare the models that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; by default all")
    parser.add_argument("--batch", type=int, nargs="+", help="by default 1 and 8; for tirex 32")
    parser.add_argument("--modes", nargs="+", choices=[FORWARD, BACKWARD])
    parser.add_argument("--runs", type=int, default=7, help="alternating runs that count")
    parser.add_argument("--xla", action="store_true", help="`jit_compile` on TensorFlow")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    print(f"{BACKEND}, Keras {keras.version()}: CPU ms of ours and the peer's, CPU ratio, clock's")
    modes = options.modes or [FORWARD, BACKWARD]
    names = options.names or NAMES
    cases = [
        (name, batch, mode)
        for name in names
        for batch in options.batch or ([1, 32] if name == "tirex" else [1, 8])
        for mode in ([FORWARD] if name == "tirex" else modes)
        if (name, batch, mode) != ("mobilenet_v4_small", 1, BACKWARD)
    ]
    for name, batch, mode in tqdm(cases, unit="case"):
        calls = tirex(batch) if name == "tirex" else vision(name, batch, mode, options.xla)
        report(name, batch, mode, timed(calls, options.runs))
        keras.backend.clear_session()
    return 0


if __name__ == "__main__":
    sys.exit(main())
