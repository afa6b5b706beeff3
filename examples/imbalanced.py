"""F1Loss against cross-entropy where positives are rare: five seeds of a real data set.

Scikit-learn's handwritten digits (part of the package, nothing is downloaded); one digit is the
positive class, one image in ten, and seen through noise, so that classes
overlap. A small network is trained with binary cross-entropy, with cross-entropy whose positives
are weighted by their rarity, and with 1 - F1 itself, from the same weights. Every loss is judged by
the F1 score of the test images, at the threshold 0.5 and at the one that is best on validation
images.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/imbalanced.py [--output DIR]`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from dl_techniques.core import registry

POSITIVE = 8
RATE = 0.1
NOISE = 0.4
LOSSES = ("cross-entropy", "weighted cross-entropy", "F1Loss")


def load(seed: int) -> dict[str, tuple[Any, Any]]:
    """Noisy images of training, validation and test, with few positives in each."""
    rng = np.random.default_rng(seed)
    images, digits = load_digits(return_X_y=True)
    x = (images / 16 + NOISE * rng.normal(size=images.shape)).astype("float32")
    y = (digits == POSITIVE).astype("float32")
    others = np.flatnonzero(y == 0)
    kept = rng.choice(np.flatnonzero(y), min(round(RATE * len(x)), int(y.sum())), replace=False)
    rows = rng.permutation(np.concatenate([others, kept]))
    train, rest = train_test_split(rows, test_size=0.5, stratify=y[rows], random_state=seed)
    valid, test = train_test_split(rest, test_size=0.6, stratify=y[rest], random_state=seed)
    parts = {"train": train, "valid": valid, "test": test}
    return {name: (x[part], y[part, None]) for name, part in parts.items()}


def build(seed: int) -> keras.Model:
    """A network with one hidden layer, the same for each loss."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(32, activation="relu"),
            layers.Dropout(0.3, seed=seed),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def train(name: str, data: dict[str, tuple[Any, Any]], seed: int, epochs: int) -> keras.Model:
    """Train with one of the losses."""
    model = build(seed)
    x, y = data["train"]
    weights = None
    loss = registry.create("F1Loss") if name == "F1Loss" else "binary_crossentropy"
    if name == "weighted cross-entropy":
        weights = np.where(y[:, 0] > 0, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    model.compile(keras.optimizers.Adam(3e-3), loss)
    # A batch must hold several positives: without them F1 is undefined.
    model.fit(x, y, sample_weight=weights, batch_size=256, epochs=epochs, verbose=0)
    return model


def scores(model: keras.Model, data: dict[str, tuple[Any, Any]]) -> tuple[float, float]:
    """Return the test F1 at one half, and at the threshold that validation images prefer."""
    p = {name: model.predict(data[name][0], verbose=0)[:, 0] for name in ("valid", "test")}
    y = {name: data[name][1][:, 0] for name in p}
    grid = np.linspace(0.02, 0.98, 49)
    best = max(grid, key=lambda t: f1_score(y["valid"], p["valid"] > t, zero_division=0))
    return tuple(float(f1_score(y["test"], p["test"] > t, zero_division=0)) for t in (0.5, best))


def draw(results: Any, path: Path) -> None:
    """Draw each seed's score as a point, and the means as bars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    titles = ("threshold 0.5", "threshold from validation images")
    for axis, title, column in zip(figure.subplots(1, 2, sharey=True), titles, (0, 1), strict=True):
        values = results[:, :, column]
        axis.bar(LOSSES, values.mean(axis=1), color="lightsteelblue")
        for index, row in enumerate(values):
            axis.plot([index] * len(row), row, "o", color="tab:blue", alpha=0.6)
        axis.set(title=title, ylabel="test F1", ylim=(0, 1))
        axis.tick_params(axis="x", labelsize=8)
    figure.savefig(path, dpi=110)


def main() -> int:
    """Train every loss with every seed, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the figure")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    results = np.zeros((len(LOSSES), arguments.seeds, 2))
    with tqdm(total=results[:, :, 0].size, desc="training", unit="model") as bar:
        for seed in range(arguments.seeds):
            data = load(seed)
            for index, name in enumerate(LOSSES):
                results[index, seed] = scores(train(name, data, seed, arguments.epochs), data)
                bar.update()
    draw(results, arguments.output / "imbalanced.png")
    print(f"\n{'test F1, mean (deviation)':26}{'at 0.5':>16}{'tuned':>16}")
    for name, rows in zip(LOSSES, results, strict=True):
        cells = (f"{m:.3f} ({s:.3f})" for m, s in zip(rows.mean(0), rows.std(0), strict=True))
        print(f"{name:26}" + "".join(f"{cell:>16}" for cell in cells))
    print(f"written: {arguments.output / 'imbalanced.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
