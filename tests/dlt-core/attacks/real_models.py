"""Configurations of real models, as Keras writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import keras
import model_forge as forge

Layers = keras.layers


def functional() -> Any:
    inputs = keras.Input((4,), name="i")
    x = Layers.Dense(5, activation="gelu", kernel_regularizer=keras.regularizers.L1L2(0.1))(inputs)
    y = Layers.Dense(5, kernel_constraint=keras.constraints.MaxNorm(2))(inputs)
    return keras.Model(inputs, Layers.Add()([x, Layers.Dropout(0.1, seed=1)(y)]) * 2.0)


def sequential() -> Any:
    normal = keras.initializers.RandomNormal(seed=3)
    layers = [Layers.Dense(3, kernel_initializer=normal), Layers.LayerNormalization()]
    return keras.Sequential([keras.Input((4,)), *layers])


def nested() -> Any:
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), Layers.Dense(4), Layers.Activation("relu")])
    return keras.Model(inputs, Layers.Concatenate()([inner(inputs), inputs]))


def convolutional() -> Any:
    layers = [Layers.Conv2D(2, 3, padding="same"), Layers.BatchNormalization(), Layers.ReLU(),
              Layers.MaxPooling2D(), Layers.GlobalAveragePooling2D()]  # fmt: skip
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


def recurrent() -> Any:
    cells = Layers.RNN([Layers.LSTMCell(3), Layers.GRUCell(2)], return_sequences=True)
    both = Layers.Bidirectional(Layers.LSTM(2, return_sequences=True))
    return keras.Sequential(
        [keras.Input((5, 4)), cells, both, Layers.TimeDistributed(Layers.Dense(1))]
    )


def attention() -> Any:
    inputs = keras.Input((6, 4))
    x = Layers.MultiHeadAttention(2, 2)(inputs, inputs, use_causal_mask=True)
    return keras.Model(inputs, Layers.Reshape((24,))(x[:, :, :]))


def mixed() -> Any:
    policy = keras.dtype_policies.DTypePolicy("mixed_bfloat16")
    return keras.Sequential([keras.Input((3,)), Layers.Dense(2, dtype=policy)])


def compiled() -> Any:
    model = sequential()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model.compile(
        keras.optimizers.AdamW(schedule),
        loss=keras.losses.Huber(delta=2.0),
        metrics=["mae", keras.metrics.TopKCategoricalAccuracy(2)],
        weighted_metrics=[keras.metrics.MeanSquaredError()],
    )
    return model


def several_outputs() -> Any:
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    shared = Layers.Dense(3, name="shared")
    outputs = {"x": shared(inputs["a"]), "y": shared(inputs["b"])}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", loss={"x": "mse", "y": "mae"}, loss_weights={"x": 1.0, "y": 2.0})
    return model


def component() -> Any:
    from dl_techniques.layers import RMSNorm

    return keras.Sequential([keras.Input((4,)), Layers.Dense(4), RMSNorm()])


MODELS: tuple[Callable[[], Any], ...] = (
    functional, sequential, nested, convolutional, recurrent, attention, mixed, compiled,
    several_outputs, component,
)  # fmt: skip


def configurations() -> Iterator[tuple[str, Any]]:
    """Name and configuration of each model; without components where they are not installed."""
    for make in MODELS:
        try:
            yield make.__name__, json.loads(make().to_json())
        except ImportError:
            assert make is component
    # Keras needs TensorFlow to build these.
    lookup = {"vocabulary": ["a", "b"], "idf_weights": [0.5, 1.5], "num_oov_indices": 1}
    yield (
        "preprocessing",
        forge.sequential(
            forge.layer("StringLookup", lookup),
            forge.layer("IntegerLookup", {"vocabulary": [1, 2]}),
            forge.layer("Discretization", {"bin_boundaries": [0.5, 1]}),
            forge.layer("TextVectorization", {"vocabulary": ["x"], "standardize": "lower"}),
        ),
    )
