"""Reliability of classifiers trained with three losses on real digits, before and after scaling.

Scikit-learn's handwritten digits (part of the package, nothing is downloaded) under noise, with few
training images, so that a network of some width becomes over-confident. It is trained with
cross-entropy, the Brier score and the Goodhart-aware loss from the same weights; then a temperature
is fitted to validation images. The expected calibration error (15 bins) is that of test images.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/calibration.py [--output DIR]`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from dl_techniques.core import registry
from dl_techniques.metrics import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_curve,
)

SEED = 0
NOISE = 0.4


def losses() -> dict[str, Any]:
    """The losses by the names that the figure shows."""
    return {
        "cross-entropy": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "Brier": registry.create("BrierScoreLoss", from_logits=True),
        "Goodhart-aware": registry.create("GoodhartAwareLoss", entropy_weight=0.3),
    }


def load() -> dict[str, tuple[Any, Any]]:
    """Noisy images and digits of training, validation and test."""
    rng = np.random.default_rng(SEED)
    images, digits = load_digits(return_X_y=True)
    x = (images / 16 + NOISE * rng.normal(size=images.shape)).astype("float32")
    train, rest = train_test_split(
        np.arange(len(x)), train_size=600, stratify=digits, random_state=SEED
    )
    valid, test = train_test_split(rest, train_size=400, stratify=digits[rest], random_state=SEED)
    parts = {"train": train, "valid": valid, "test": test}
    return {name: (x[rows], digits[rows]) for name, rows in parts.items()}


def train(loss: Any, data: dict[str, tuple[Any, Any]], epochs: int) -> keras.Model:
    """Train a network of logits."""
    keras.utils.set_random_seed(SEED)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(128, activation="relu")])
    model.add(keras.layers.Dense(10))
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(*data["train"], batch_size=64, epochs=epochs, verbose=0)
    return model


def temperature(logits: Any, y: Any) -> float:
    """The temperature of least negative log-likelihood."""

    def nll(log_t: float) -> float:
        return negative_log_likelihood(y, softmax(logits / np.exp(log_t), axis=1))

    return float(np.exp(minimize_scalar(nll, bounds=(-3, 3), method="bounded").x))


def draw(panels: dict[str, list[tuple[str, Any, Any]]], path: Path) -> None:
    """Reliability diagrams: a column a loss, before scaling above and after it below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(panels), 6.4), layout="constrained")
    axes = figure.subplots(2, len(panels), sharex=True, sharey=True)
    for column, (name, rows) in enumerate(panels.items()):
        for row, (title, y, p) in enumerate(rows):
            curve = reliability_curve(y, p, bins=10)
            axis = axes[row][column]
            axis.plot([0, 1], [0, 1], "--", color="gray", linewidth=1)
            axis.bar(curve.lo, np.nan_to_num(curve.accuracy), 0.1, align="edge", alpha=0.35)
            axis.plot(curve.confidence, curve.accuracy, "o-", markersize=3)
            axis.set(title=f"{name}, {title}", xlim=(0, 1), ylim=(0, 1))
            axis.title.set_fontsize(9)
        axes[1][column].set_xlabel("confidence")
    axes[0][0].set_ylabel("accuracy")
    axes[1][0].set_ylabel("accuracy")
    figure.savefig(path, dpi=110)


def main() -> int:
    """Train, scale, print the table, draw the diagrams."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the figure")
    parser.add_argument("--epochs", type=int, default=60)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    data, panels, lines = load(), {}, []
    for name, loss in tqdm(losses().items(), desc="training", unit="model"):
        model = train(loss, data, arguments.epochs)
        logits = {part: model.predict(data[part][0], verbose=0) for part in ("valid", "test")}
        y = data["test"][1]
        scale = temperature(logits["valid"], data["valid"][1])
        panels[name] = []
        for title, t in (("T = 1", 1.0), (f"T = {scale:.2f}", scale)):
            p = softmax(logits["test"].astype("float64") / t, axis=1)
            error = expected_calibration_error(y, p)
            panels[name].append((f"{title}, ECE {error:.3f}", y, p))
            accuracy = np.mean(p.argmax(axis=1) == y)
            lines.append(
                f"{name:16}{title:>10}{accuracy:>10.3f}{error:>8.3f}"
                f"{brier_score(y, p):>8.3f}{negative_log_likelihood(y, p):>8.3f}"
            )
    draw(panels, arguments.output / "calibration.png")
    print(f"\n{'loss':16}{'':>10}{'accuracy':>10}{'ECE':>8}{'Brier':>8}{'NLL':>8}")
    print("\n".join(lines))
    print(f"written: {arguments.output / 'calibration.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
