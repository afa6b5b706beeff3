"""The main job: discover components, build a model from them, train it, save it, load it elsewhere.

A small vision transformer learns scikit-learn's 1,797 handwritten digits (8 x 8 pixels, part of
the package, nothing is downloaded). The saved model is then loaded by a fresh interpreter that
knows only `dl_techniques.core` and the file, and must reproduce every prediction exactly.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/digits.py [--output DIR]`.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from dl_techniques.core import registry, save_model

SEED = 42
CLASSES = 10

# All that the second process runs: it imports the core and nothing else of ours.
FRESH_PROCESS = """
import sys
import numpy as np
from dl_techniques.core import load_model
model_path, images_path, predictions_path = sys.argv[1:]
model = load_model(model_path)
np.save(predictions_path, model.predict(np.load(images_path), batch_size=64, verbose=0))
"""


def load_images() -> tuple[Any, Any, Any, Any]:
    """Images in [0, 1], a quarter of them held out; the training images also shifted by a pixel."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).reshape(-1, 8, 8, 1).astype("float32")
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=0.25, random_state=SEED, stratify=labels
    )
    shifts = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
    x_train = np.concatenate([shifted(x_train, *shift) for shift in shifts])
    y_train = np.tile(np.eye(CLASSES, dtype="float32")[y_train], (len(shifts), 1))
    return x_train, y_train, x_test, y_test


def shifted(images: Any, down: int, right: int) -> Any:
    """Images moved by at most a pixel, filled with background."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return padded[:, 1 - down : 9 - down, 1 - right : 9 - right]


def build_model(dim: int = 48, depth: int = 2, num_heads: int = 4) -> keras.Model:
    """A vision transformer; every part that Keras does not have comes from the registry."""
    create = registry.create
    inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(16, 3, padding="same", activation="gelu")(inputs)
    x = create("PatchEmbedding", patch_size=2, embed_dim=dim)(x)
    for index in range(depth):
        attention = create(
            "GroupQueryAttention",
            num_heads=num_heads,
            num_kv_heads=num_heads // 2,
            rope_theta=100.0,  # sixteen patches need no long waves
        )
        feed_forward = create("SwiGLUFFN", hidden_dim=2 * dim)
        for branch in (attention, feed_forward):
            y = branch(create("RMSNorm")(x))
            y = create("LayerScale", initializer=keras.initializers.Constant(0.5))(y)
            y = create("StochasticDepth", drop_path_rate=0.1, seed=SEED + index)(y)
            x = keras.layers.add([x, y])
    x = keras.layers.Flatten()(create("RMSNorm")(x))
    x = keras.layers.Dropout(0.3, seed=SEED)(x)
    outputs = keras.layers.Dense(CLASSES, activation="softmax", name="digit")(x)
    return keras.Model(inputs, outputs, name="digits_transformer")


class Progress(keras.callbacks.Callback):
    """Advances a bar by one for each epoch and shows the epoch's figures."""

    def __init__(self, bar: tqdm[Any]) -> None:
        super().__init__()
        self.bar = bar

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Advance by one epoch."""
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in (logs or {}).items()})
        self.bar.update()


def train(model: keras.Model, x: Any, y: Any, epochs: int) -> list[float]:
    """Learn with cross-entropy, then sharpen with 1 - F1 itself; returns the accuracies.

    F1 is flat where all is wrong, so it cannot come first.
    """
    batch_size = 128
    last = max(1, epochs // 5)
    phases = (
        (epochs - last, keras.losses.CategoricalCrossentropy(label_smoothing=0.1), 3e-3),
        (last, registry.create("F1Loss"), 5e-4),
    )
    accuracies: list[float] = []
    with tqdm(total=epochs, desc="training", unit="epoch") as bar:
        for phase_epochs, loss, rate in phases:
            steps = phase_epochs * -(-len(x) // batch_size)
            schedule = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.01)
            optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.05)
            model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
            bar.set_description(f"training ({loss.name})")
            fit = model.fit(
                x,
                y,
                batch_size=batch_size,
                epochs=phase_epochs,
                verbose=0,
                callbacks=[Progress(bar)],
            )
            accuracies += fit.history["accuracy"]
    return accuracies


def predict_in_fresh_process(model_path: Path, images: Any) -> Any:
    """Predictions of a new interpreter that is given the file and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        images_path, predictions_path = Path(folder, "images.npy"), Path(folder, "predictions.npy")
        np.save(images_path, images)
        arguments = [str(model_path), str(images_path), str(predictions_path)]
        subprocess.run([sys.executable, "-c", FRESH_PROCESS, *arguments], check=True)
        return np.load(predictions_path)


def draw(accuracies: list[float], truth: Any, predicted: Any, path: Path) -> None:
    """Learning curves beside the confusion matrix of the test images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    curves, matrix = figure.subplots(1, 2)
    epochs = range(1, len(accuracies) + 1)
    accuracy = float(np.mean(truth == predicted))
    curves.plot(epochs, accuracies, label="training images")
    curves.axhline(accuracy, color="tab:orange", label=f"test images at the end: {accuracy:.1%}")
    curves.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02), title="Learning curve")
    curves.grid(alpha=0.3)
    curves.legend(loc="lower right")
    counts = confusion_matrix(truth, predicted, labels=range(CLASSES))
    matrix.imshow(counts, cmap="Blues")
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            dark = counts[row, column] > counts.max() / 2
            matrix.text(
                column,
                row,
                counts[row, column],
                ha="center",
                va="center",
                color="white" if dark else "black",
            )
    matrix.set(
        xticks=range(CLASSES),
        yticks=range(CLASSES),
        xlabel="predicted",
        ylabel="true",
        title=f"{len(truth)} test images",
    )
    figure.savefig(path, dpi=120)


def main() -> int:
    """Run the whole story and say what was listed, measured and written where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the files")
    parser.add_argument("--epochs", type=int, default=18)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    print(
        f"Keras {keras.__version__} on {keras.backend.backend()}, Python "
        f"{platform.python_version()}\n\nInstalled components:\n{registry.list()}\n"
    )
    keras.utils.set_random_seed(SEED)
    x_train, y_train, x_test, y_test = load_images()
    model = build_model()
    accuracies = train(model, x_train, y_train, arguments.epochs)

    predictions = model.predict(x_test, batch_size=64, verbose=0)
    predicted = predictions.argmax(axis=-1)
    accuracy = float(np.mean(predicted == y_test))
    model_path = arguments.output / "digits.keras"
    save_model(model, model_path)
    again = predict_in_fresh_process(model_path, x_test)
    picture = arguments.output / "digits.png"
    draw(accuracies, y_test, predicted, picture)

    identical = bool(np.array_equal(predictions, again))
    print(
        f"\nparameters       {model.count_params():,}"
        f"\ntest accuracy    {accuracy:.2%} of {len(y_test)} images"
        f"\nfresh process    {'identical predictions' if identical else 'DIFFERENT PREDICTIONS'}"
        f"\nwritten          {model_path} and {picture}"
        f"\ntime             {time.monotonic() - started:.0f} s"
    )
    return 0 if identical and accuracy >= 0.97 else 1


if __name__ == "__main__":
    sys.exit(main())
