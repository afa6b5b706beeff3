"""Write one whole model and the golden files of a sample, or read both in another process.

    python exchange.py save FOLDER
    python exchange.py load FOLDER

Prints one JSON object. One process does both, since starting a backend is what takes long.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import golden_files
import numpy as np

# One of each kind, none for which JAX compiles long.
SAMPLE = (
    "AdaptiveSoftmax",
    "CLIPAccuracy",
    "F1Loss",
    "LayerScale",
    "OrthonormalInitializer",
    "SoftOrthonormal",
    "SwiGLUFFN",
    "ValueRangeConstraint",
)


def build() -> Any:
    """A small network of components from both distributions, compiled."""
    import keras

    from dl_techniques.core import registry

    create = registry.create
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = create("GlobalResponseNormalization", gamma_initializer="ones")(inputs)
    x = create("PatchEmbedding", patch_size=2, embed_dim=8)(x)
    y = create("RMSNorm")(x)
    y = create("GroupQueryAttention", num_heads=4, num_kv_heads=2, rope_theta=100.0)(y)
    y = create("LayerScale", initializer=keras.initializers.Constant(0.5))(y)
    x = keras.layers.add([x, create("StochasticDepth", drop_path_rate=0.2, seed=1)(y)])
    x = create("SwiGLUFFN", hidden_dim=12)(x)
    x = create("Mish")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = create("OrthoBlock", units=6)(x)
    x = keras.layers.Dense(
        8,
        kernel_initializer=create("OrthonormalInitializer", seed=1),
        kernel_regularizer=create("SoftOrthonormal"),
        kernel_constraint=create("ValueRangeConstraint", min_value=-1.0, max_value=1.0),
    )(x)
    outputs = keras.layers.Dense(3, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", create("F1Loss"), metrics=["accuracy"])
    return model


def save(folder: Path) -> dict[str, Any]:
    """Save the model with an input and its output, and the golden files of the sample."""
    from dl_techniques.core import save_model

    model = build()
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    np.savez(folder / "arrays.npz", x=x, y=_answer(model, x))
    save_model(model, folder / "model.keras")
    return golden_files.export(folder / "golden", list(SAMPLE))


def load(folder: Path) -> dict[str, Any]:
    """Load the model, knowing only the core, and say how far its output is off; then the rest."""
    from dl_techniques.core import load_model

    arrays = np.load(folder / "arrays.npz")
    outputs = _answer(load_model(folder / "model.keras"), arrays["x"])
    difference = float(np.abs(outputs - arrays["y"]).max())
    return {"difference": difference, **golden_files.verify(folder / "golden")}


def _answer(model: Any, x: Any) -> Any:
    """The outputs at inference; `predict` would compile the model first, on PyTorch for minutes."""
    from keras import ops

    return ops.convert_to_numpy(model(x, training=False))


if __name__ == "__main__":
    print(json.dumps({"save": save, "load": load}[sys.argv[1]](Path(sys.argv[2]))))
