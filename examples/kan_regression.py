"""A Kolmogorov-Arnold network learns a known function, and shows what it learned.

The function is f(x, y) = exp(sin(pi x) + y^2), of which the paper of KANs takes the same: sums
of functions of one variable, nested twice. The network has one hidden layer. It learns on a coarse
grid that follows the data (`update_grid`), and continues on finer ones (`extend_grid`), each of
which starts with the function that the one before has learned.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/kan_regression.py [--output DIR]`.
It needs matplotlib.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from dl_techniques.layers import KANLinear
from dl_techniques.layers.kan.plot import plot_edges

SEED = 0
GRIDS = (5, 10, 20)
EPOCHS = 120
UPDATES = 4
SAMPLES = 4096
BATCH = 256


def target(x: Any) -> Any:
    """The function to learn, `(samples, 1)`."""
    return np.exp(np.sin(np.pi * x[:, :1]) + x[:, 1:] ** 2)


def first_layers() -> list[KANLinear]:
    """Two layers of learned functions on the coarse grid."""
    initializer = keras.initializers.RandomNormal(stddev=0.1, seed=SEED)
    return [
        KANLinear(5, GRIDS[0], spline_initializer=initializer, adaptive_grid=True),
        KANLinear(1, GRIDS[0], spline_initializer=initializer.clone(), adaptive_grid=True),
    ]


def adapt(layers: list[KANLinear], x: Any) -> None:
    """Move each layer's grid to what reaches it."""
    for layer in layers:
        layer.update_grid(x)
        x = keras.ops.convert_to_numpy(layer(x))


def train(layers: list[KANLinear], x: Any, y: Any, rate: float, bar: Any) -> keras.Model:
    """Train on one grid, with a learning rate that falls to nothing.

    The coarse grid follows the data several times in the first half of its epochs.
    """
    model = keras.Sequential([keras.Input((2,)), *layers])
    steps = EPOCHS * (len(x) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(schedule), "mse")
    advance = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.update())
    follows = layers[0].grid_size == GRIDS[0]
    ends = [EPOCHS // 2 * n // UPDATES for n in range(1, UPDATES + 1)] if follows else []
    start = 0
    for end in [*ends, EPOCHS]:
        if follows:
            adapt(layers, x)
        settings = {"initial_epoch": start, "epochs": end, "batch_size": BATCH, "verbose": 0}
        model.fit(x, y, callbacks=[advance], **settings)
        start = end
    return model


def error_of(model: Any, x: Any) -> float:
    """Root mean square error."""
    difference = model.predict(x, batch_size=1024, verbose=0) - target(x)
    return float(np.sqrt(np.mean(difference**2)))


def main() -> int:
    """Learn on finer and finer grids, and draw the edges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the picture")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    keras.utils.set_random_seed(SEED)
    rng = np.random.default_rng(SEED)
    x, x_test = (rng.uniform(-1, 1, (count, 2)).astype("float32") for count in (SAMPLES, 2000))
    y = target(x)

    layers, lines = first_layers(), []
    with tqdm(total=len(GRIDS) * EPOCHS, desc="training", unit="epoch") as bar:
        for grid, rate in zip(GRIDS, (2e-2, 5e-3, 2e-3), strict=True):
            if grid > GRIDS[0]:
                layers = [layer.extend_grid(grid) for layer in layers]
            before = error_of(keras.Sequential([keras.Input((2,)), *layers]), x_test)
            model = train(layers, x, y, rate, bar)
            lines.append((grid, before, error_of(model, x_test)))

    picture = arguments.output / "kan_regression.png"
    names = [f"h{unit + 1}" for unit in range(layers[0].units)]
    plot_edges(layers[0], x, ["x", "y"], names).savefig(picture)
    last = arguments.output / "kan_regression_output.png"
    hidden = keras.ops.convert_to_numpy(layers[0](x))
    plot_edges(layers[1], hidden, names, ["f"]).savefig(last)
    print(f"{'cells':>5}  {'error before':>12}  {'error after':>12}")
    for grid, before, after in lines:
        print(f"{grid:5}  {before:12.2e}  {after:12.2e}")
    spread = float(np.std(target(x_test)))
    print(
        f"standard deviation of the function {spread:.2f}, parameters {model.count_params()}"
        f"\nwritten {picture} and {last} in {time.monotonic() - started:.0f} s"
        f" on {keras.backend.backend()}"
    )
    return int(lines[-1][-1] >= 1e-3)


if __name__ == "__main__":
    sys.exit(main())
