"""Classical filters as Keras layers, on pictures that scikit-image ships.

One batch of pictures goes through `GaussianFilter`, the Laplacians, `Canny`, `CLAHE` and
`ShearletTransform`, each compiled by `predict`. The results are drawn side by side, and compared
with scikit-image and OpenCV where these have the same.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/image_layers.py [--output DIR]`.
It needs scikit-image, opencv-python-headless and matplotlib.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from skimage import color, data, feature, transform

from dl_techniques.layers import (
    CLAHE,
    AdvancedLaplacianFilter,
    Canny,
    GaussianFilter,
    LaplacianFilter,
    ShearletTransform,
)

SIZE = 256
PICTURES = ("camera", "moon", "page", "astronaut")
SIGMA, LOW, HIGH = 1.5, 0.1, 0.2


def load_pictures() -> Any:
    """Grey pictures from 0 to 1, `(batch, SIZE, SIZE, 1)`."""
    pictures = []
    for name in PICTURES:
        picture = getattr(data, name)()
        picture = color.rgb2gray(picture) if picture.ndim == 3 else picture / 255
        height, width = picture.shape
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = picture[top : top + side, left : left + side]
        pictures.append(transform.resize(square, (SIZE, SIZE), anti_aliasing=True))
    return np.stack(pictures)[..., None].astype("float32")


def applied(layer: keras.layers.Layer, images: Any) -> Any:
    """The layer's output, compiled as the backend compiles models."""
    return keras.Sequential([keras.Input(images.shape[1:]), layer]).predict(images, verbose=0)


def columns(images: Any) -> dict[str, Any]:
    """Return the pictures by their titles."""
    shearlets = ShearletTransform(n_scales=2)
    coefficients = applied(shearlets, images)
    greys = np.round(255 * images)
    return {
        "input": images,
        "GaussianFilter": applied(GaussianFilter(13, 2.0, padding="reflect"), images),
        "LaplacianFilter": applied(LaplacianFilter(sigma=2.0, padding="reflect"), images),
        "Laplacian of Gaussian": applied(
            AdvancedLaplacianFilter("log", sigma=2.0, padding="reflect"), images
        ),
        "Canny": applied(Canny(SIGMA, LOW, HIGH), images),
        "CLAHE": applied(CLAHE(2.0, tile_grid_size=(8, 8)), greys) / 255,
        "shearlet, horizontal waves": coefficients[..., 6:7],
        "shearlet, vertical waves": coefficients[..., 9:10],
    }


def comparisons(images: Any, shown: dict[str, Any]) -> dict[str, float]:
    """Differences from other implementations; each should be zero, or rounding."""
    canny = [feature.canny(image, SIGMA, LOW, HIGH) for image in images[..., 0]]
    peer = cv2.createCLAHE(2.0, (8, 8))
    greys = np.round(255 * images[..., 0]).astype("uint8")
    clahe = np.stack([peer.apply(image) for image in greys])
    shearlets = ShearletTransform(n_scales=2)
    inverse = np.asarray(keras.ops.convert_to_numpy(shearlets.inverse(shearlets(images))))
    levels = np.abs(np.round(255 * shown["CLAHE"][..., 0]) - clahe)
    return {
        "Canny: pixels that differ from scikit-image's": float(
            np.count_nonzero(shown["Canny"][..., 0] != np.stack(canny))
        ),
        "CLAHE: share of pixels that differ from OpenCV's": float(np.mean(levels > 0)),
        "CLAHE: largest difference in grey levels": float(levels.max()),
        "shearlets: largest error of the reconstruction": float(np.abs(inverse - images).max()),
    }


def draw(shown: dict[str, Any], path: Path) -> None:
    """One row for each picture, one column for each layer."""
    from matplotlib.figure import Figure

    size = (1.7 * len(shown), 1.7 * len(PICTURES) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(PICTURES), len(shown))
    for column, (title, images) in enumerate(shown.items()):
        for row, image in enumerate(images[..., 0]):
            axes = grid[row, column]
            low, high = (0, 1) if image.min() >= -1e-3 else np.quantile(image, [0.005, 0.995])
            axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axes.set_axis_off()
        grid[0, column].set_title(title, fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> int:
    """Filter, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the picture")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    images = load_pictures()
    shown = columns(images)
    differences = comparisons(images, shown)
    path = arguments.output / "image_layers.png"
    draw(shown, path)
    for what, value in differences.items():
        print(f"{what:52} {value:.3g}")
    print(f"written {path} in {time.monotonic() - started:.0f} s on {keras.backend.backend()}")
    canny, share, levels, error = differences.values()
    # Compilers may contract a product and a sum, which moves a rounding by one.
    return int(canny > 4 or share > 0.002 or levels > 1 or error > 1e-5)


if __name__ == "__main__":
    sys.exit(main())
