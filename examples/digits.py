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
    """Images in [0, 1] with one-hot labels, a quarter of them held out, stratified by class."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).reshape(-1, 8, 8, 1).astype("float32")
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=0.25, random_state=SEED, stratify=labels
    )
    return x_train, np.eye(CLASSES, dtype="float32")[y_train], x_test, y_test


def build_model(dim: int = 48, depth: int = 3, num_heads: int = 4) -> keras.Model:
    """A vision transformer; every part that Keras does not have comes from the registry."""
    create = registry.create
    inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.RandomTranslation(0.1, 0.1, fill_mode="constant", seed=SEED)(inputs)
    x = create("PatchEmbedding", patch_size=2, embed_dim=dim)(x)
    for index in range(depth):
        attention = create("GroupQueryAttention", num_heads=num_heads, num_kv_heads=num_heads // 2)
        feed_forward = create("SwiGLUFFN", hidden_dim=2 * dim)
        for branch in (attention, feed_forward):
            y = branch(create("RMSNorm")(x))
            y = create("LayerScale", initializer=keras.initializers.Constant(0.5))(y)
            y = create("StochasticDepth", drop_path_rate=0.05 * index, seed=SEED)(y)
            x = keras.layers.add([x, y])
    x = create("RMSNorm")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    outputs = keras.layers.Dense(CLASSES, activation="softmax", name="digit")(x)
    return keras.Model(inputs, outputs, name="digits_transformer")


class Progress(keras.callbacks.Callback):
    """One bar for the whole training, with the figures of the last epoch."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.bar = tqdm(total=epochs, desc="training", unit="epoch")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Advance by one epoch."""
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in (logs or {}).items()})
        self.bar.update()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leave the finished bar on the screen."""
        self.bar.close()


def train(model: keras.Model, x: Any, y: Any, epochs: int) -> dict[str, list[float]]:
    """Minimize 1 - F1 directly: the loss is a component, too."""
    batch_size = 128
    steps = epochs * -(-len(x) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps, alpha=0.01)
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=1e-2),
        loss=registry.create("F1Loss"),
        metrics=["accuracy"],
    )
    fit = model.fit(
        x, y, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[Progress(epochs)]
    )
    history: dict[str, list[float]] = fit.history
    return history


def predict_in_fresh_process(model_path: Path, images: Any) -> Any:
    """Predictions of a new interpreter that is given the file and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        images_path, predictions_path = Path(folder, "images.npy"), Path(folder, "predictions.npy")
        np.save(images_path, images)
        arguments = [str(model_path), str(images_path), str(predictions_path)]
        subprocess.run([sys.executable, "-c", FRESH_PROCESS, *arguments], check=True)
        return np.load(predictions_path)


def draw(history: dict[str, list[float]], truth: Any, predicted: Any, path: Path) -> None:
    """Learning curves beside the confusion matrix of the test images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    curves, matrix = figure.subplots(1, 2)
    curves.plot(history["loss"], label="1 - F1 (training)")
    curves.plot(history["accuracy"], label="accuracy (training)")
    curves.set(xlabel="epoch", ylim=(0, 1), title="Learning curves")
    curves.grid(alpha=0.3)
    curves.legend()
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
    parser.add_argument("--epochs", type=int, default=60)
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
    history = train(model, x_train, y_train, arguments.epochs)

    predictions = model.predict(x_test, batch_size=64, verbose=0)
    predicted = predictions.argmax(axis=-1)
    accuracy = float(np.mean(predicted == y_test))
    model_path = arguments.output / "digits.keras"
    save_model(model, model_path)
    again = predict_in_fresh_process(model_path, x_test)
    picture = arguments.output / "digits.png"
    draw(history, y_test, predicted, picture)

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
