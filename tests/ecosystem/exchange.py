"""One model of the first components of every kind, and loading it in another process.

Usage: python exchange.py save|load MODEL.keras ARRAYS.npz
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


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


def save(model_path: str, arrays_path: str) -> None:
    """Save the model with an input and its output."""
    from dl_techniques.core import save_model

    model = build()
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    np.savez(arrays_path, x=x, y=model.predict(x, verbose=0))
    save_model(model, model_path)


def load(model_path: str, arrays_path: str) -> None:
    """Load the model, knowing only the core, and print how far its output is off."""
    from dl_techniques.core import load_model

    arrays = np.load(arrays_path)
    difference = np.abs(load_model(model_path).predict(arrays["x"], verbose=0) - arrays["y"])
    print("DIFFERENCE", float(difference.max()))


if __name__ == "__main__":
    {"save": save, "load": load}[sys.argv[1]](*sys.argv[2:])
