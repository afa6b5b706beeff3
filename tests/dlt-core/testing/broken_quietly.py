"""Layers that compute what they should, and are broken in what they leave behind or say."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np
from keras import ops
from mutants import TOKENS, Dense, Same, mutant


@mutant("calls_are_forgotten")
class KeepsItsInputs(Same):
    kept = []  # noqa: RUF012  # for all instances: that is what is wrong with it

    def call(self, inputs):
        self.kept.append(inputs)
        return inputs * 1.0


@mutant("calls_are_forgotten")
class KeepsALog(Same):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        object.__setattr__(self, "log", [])

    def call(self, inputs):
        self.log.append("called")
        return inputs * 1.0


@mutant("no_side_effects")
class SetsEpsilon(Same):
    def __init__(self, **kwargs):
        keras.config.set_epsilon(1e-3)
        super().__init__(**kwargs)


@mutant("no_side_effects")
class SetsFloatx(Same):
    def build(self, input_shape):
        keras.config.set_floatx("float64")
        self.built = True


@mutant("no_side_effects")
class OpensByFlags(Same):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        os.close(os.open(os.devnull, os.O_WRONLY))


@mutant("no_side_effects")
class MakesAFolder(Same):
    def call(self, inputs):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "cache").mkdir()
        return inputs


@mutant("config_complete", config={"options": {"a": 1}})
class ChangesItsArgument(Same):
    def __init__(self, options=None, **kwargs):
        super().__init__(**kwargs)
        options["b"] = 2
        self.options = options


@mutant("config_round_trip")
class SharesItsDefault(Same):
    def __init__(self, sizes=[], **kwargs):  # noqa: B006  # that is what is wrong with it
        super().__init__(**kwargs)
        sizes.append(1)
        self.sizes = sizes


@mutant("config_keeps_values")
class LosesAValueOnTheWayBack(Same):
    def __init__(self, gain=1.0, **kwargs):
        super().__init__(**kwargs)
        self.gain = gain

    @classmethod
    def from_config(cls, config):
        return cls(**{key: value for key, value in config.items() if key != "gain"})


@mutant("config_round_trip", config={"limit": float("inf")})
class HasNoLimit(Same):
    def __init__(self, limit=1.0, **kwargs):
        super().__init__(**kwargs)
        self.limit = limit


@mutant("config_round_trip", config={"table": {1: 2}})
class HasNumbersAsKeys(Same):
    def __init__(self, table=None, **kwargs):
        super().__init__(**kwargs)
        self.table = table


@mutant("output_shape", inputs=TOKENS)
class LiesAboutUnknownLengths(Same):
    def call(self, inputs):
        return ops.concatenate([inputs, inputs], axis=1)

    def compute_output_shape(self, input_shape):
        batch, length, channels = input_shape
        return (batch, 2 * length if length else 7, channels)


@mutant("masks", inputs=TOKENS)
class TakesAMaskAndIgnoresIt(Same):
    def call(self, inputs, mask=None):
        return inputs - ops.mean(inputs, axis=1, keepdims=True)


@mutant("composition")
class ForgetsThatAPartWasFrozen(Dense):
    def __init__(self, units=2, **kwargs):
        super().__init__(units, **kwargs)
        self.parts = [keras.layers.Dense(units, dtype=self.dtype_policy) for _ in range(3)]

    def build(self, input_shape):
        self.shape = input_shape
        for part in self.parts:
            part.build(input_shape)
        self.built = True

    def get_build_config(self):
        return {"input_shape": self.shape}

    def call(self, inputs):
        return self.parts[0](inputs) + self.parts[1](inputs) + self.parts[2](inputs)


@mutant("composition")
class DrawsAConstantAnew(Dense):
    """A number that is drawn in `build` and kept in no variable."""

    def build(self, input_shape):
        super().build(input_shape)
        self.constant = float(np.random.default_rng().normal())

    def call(self, inputs):
        return super().call(inputs) * self.constant


@mutant("composition", inputs=TOKENS)
class LosesItsMaskByLoading(Same):
    """Whether it passes masks on is no argument, and not in a file."""

    carries: ClassVar = [True, True]  # the kit's own instance, and the composed one

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=input_shape[-1:], initializer="ones")
        self.supports_masking = self.carries.pop() if self.carries else False
        self.built = True

    def call(self, inputs):
        return inputs * self.scale
