"""Components of unusual, yet lawful design: none of them is to be found fault with."""

from __future__ import annotations

import keras
from keras import ops
from mutants import TOKENS, VECTORS

from dl_techniques.core import Component, Example, Layer, Model, component


@component("sound>NamedAndNested", kind="layer")
class NamedAndNested(Layer):
    """Inputs by name, outputs in a dictionary; its shapes are left to be traced."""

    def build(self, query_shape, value_shape):
        self.scale = self.add_weight(shape=query_shape[-1:], initializer="ones", name="scale")
        self.built = True

    def call(self, query, value):
        scaled = query * self.scale + ops.mean(value, axis=1, keepdims=True)
        return {"scaled": scaled, "sums": ops.sum(scaled, axis=-1)}


@component("sound>Quantized", kind="layer")
class Quantized(Layer):
    """Weights in eight bits beside trained scales, and one number for the whole batch."""

    def build(self, input_shape):
        self.codes = self.add_weight(
            shape=(input_shape[-1], 2),
            initializer="ones",
            dtype="int8",
            trainable=False,
            autocast=False,
            name="codes",
        )
        self.scale = self.add_weight(shape=(2,), initializer="ones", name="scale")
        self.built = True

    def call(self, inputs):
        return ops.sum(ops.matmul(inputs, ops.cast(self.codes, inputs.dtype)) * self.scale)

    def compute_output_shape(self, input_shape):
        return ()


@component("sound>FunctionalStyle", kind="model")
class FunctionalStyle(Model):
    """A model that is a graph; its layers follow the policy of the process."""

    def __init__(self, units=2, name=None, **kwargs):
        inputs = keras.Input((3,))
        super().__init__(inputs, keras.layers.Dense(units, name="out")(inputs), name=name, **kwargs)
        self.units = units


@component("sound>Descent", kind="optimizer")
class Descent(Component, keras.optimizers.Optimizer):
    """Plain steps; it keeps its rate in float32."""

    def __init__(self, learning_rate=0.01, name="descent", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)

    def get_config(self):
        return keras.optimizers.Optimizer.get_config(self)

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * gradient)


@component("sound>Decay", kind="schedule")
class Decay(Component, keras.optimizers.schedules.LearningRateSchedule):
    """Falls as one over the step."""

    def __init__(self, rate=0.1):
        self.rate = rate

    def __call__(self, step):
        return self.rate / (1 + ops.cast(step, "float32"))


EXAMPLES = [
    Example(NamedAndNested, {}, {"query": TOKENS, "value": TOKENS}),
    Example(Quantized, {}, VECTORS, traits={"couples_batch"}),
    Example(FunctionalStyle, {"units": 4}, VECTORS),
    Example(Descent, {"learning_rate": 0.05}),
    Example(Decay, {"rate": 0.5}),
]
