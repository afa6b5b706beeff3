"""Declaration of broken components, and two sound layers to break."""

from __future__ import annotations

import keras
import pytest
from keras import ops

from dl_techniques.core import Example, Layer, TensorSpec, component

BACKEND = keras.backend.backend()
VECTORS = TensorSpec((4, 3))
TOKENS = TensorSpec((2, 5, 3))
MUTANTS = []


def mutant(*checks, inputs=VECTORS, traits=(), config=None, kind="layer", backends=None, dead=()):
    """Declare a broken class and say which checks must catch it."""

    def declare(cls):
        declared = component(f"mutants>{cls.__name__}", kind=kind)(cls)
        example = Example(declared, config or {}, inputs, traits=frozenset(traits), dead=dead)
        for check in checks:
            mark = pytest.mark.skipif(
                backends is not None and BACKEND not in backends,
                reason=f"shows on {backends} only",
            )
            MUTANTS.append(pytest.param(example, check, id=f"{cls.__name__}-{check}", marks=mark))
        return declared

    return declare


class Dense(Layer):
    """A sound layer to break: y = x W + b."""

    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.units))
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        self.built = True

    def call(self, inputs):
        return ops.matmul(inputs, self.kernel) + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)


class Same(Layer):
    """A sound layer without weights to break: y = x."""

    def call(self, inputs):
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape
