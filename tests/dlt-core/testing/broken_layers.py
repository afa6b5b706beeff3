"""Layers that are broken on purpose, ordered as the checks are."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np
import pytest
from keras import ops
from mutants import MUTANTS, TOKENS, VECTORS, Dense, Same, mutant

from dl_techniques.core import Example, Rejection

# Declarations and documentation


@keras.saving.register_keras_serializable()
class Undeclared(Dense):
    """Registered by the bare decorator, in the namespace that everybody shares."""


MUTANTS.append(
    pytest.param(
        Example(Undeclared, {}, VECTORS), "registered_serialization", id="registered_serialization"
    )
)


@mutant("backend_purity")
class CallsNumpy(Dense):
    def call(self, inputs):
        if not self.built:
            self.kernel.numpy()
        return super().call(inputs)


@mutant("default_example", config={"units": 3})
class HidesItsDefault(Dense):
    """Has no example with its default."""

    @classmethod
    def examples(cls):
        yield Example(cls, {"units": 3}, VECTORS)


@mutant("documentation")
class Undocumented(Dense):
    """Says nothing about its arguments."""


@mutant("documented_example")
class WrongExample(Dense):
    """Says something false.

    Example:
        >>> 1 + 1
        3
    """


# Configurations


@mutant("config_keeps_values")
class DropsASwitch(Dense):
    def __init__(self, units=2, fast=False, **kwargs):
        super().__init__(units, **kwargs)
        self.fast = fast

    def get_config(self):
        return {**super().get_config(), "fast": False}


@mutant("config_round_trip")
class DriftingConfig(Dense):
    def get_config(self):
        return {**super().get_config(), "units": self.units + 1}


@mutant("config_complete", config={"scale": 2.0})
class LostArgument(Dense):
    def __init__(self, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def get_config(self):
        config = super().get_config()
        del config["scale"]
        config["extra"] = None
        return config

    @classmethod
    def from_config(cls, config):
        config.pop("extra")
        return super().from_config(config)


@mutant("config_round_trip")
class LiveConfig(Dense):
    def get_config(self):
        return {**super().get_config(), "live": object()}


@mutant("keras_round_trip")
class BecomesAnother(Dense):
    @classmethod
    def from_config(cls, config):
        return Dense.from_config(config)


# Errors


@mutant("rejections")
class AcceptsAnything(Dense):
    @classmethod
    def rejections(cls):
        yield Rejection(cls, {"units": -1}, "units")


@mutant("rejections")
class NamesNothing(Dense):
    def __init__(self, units=2, **kwargs):
        if units < 0:
            raise ValueError("bad")
        super().__init__(units, **kwargs)

    @classmethod
    def rejections(cls):
        yield Rejection(cls, {"units": -1}, "units")


@mutant("channels_first")
class RefusesWithoutReason(Dense):
    def __init__(self, units=2, data_format="channels_last", **kwargs):
        super().__init__(units, **kwargs)
        if data_format != "channels_last":
            raise ValueError("no")
        self.data_format = data_format


# Weights


@mutant("build_equals_call")
class BuildsInCall(Same):
    def build(self, input_shape):
        self.inner = keras.layers.Dense(3)
        self.built = True

    def call(self, inputs):
        return self.inner(inputs)


@mutant("no_late_weights")
class LateWeight(Same):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = 0
        self.late = []

    def call(self, inputs):
        self.calls += 1
        if self.calls > 1:
            self._tracker.unlock()
            self.add_weight(name=f"late_{random.random()}", shape=())
        return inputs


@mutant("own_variables")
class HalfSaved(Dense):
    def save_own_variables(self, store):
        store["0"] = self.kernel
        store["1"] = ops.ones((self.units,)) * random.random()

    def load_own_variables(self, store):
        self.kernel.assign(store["0"])


@mutant("weight_names")
class EqualNames(Dense):
    def build(self, input_shape):
        self.kernel = self.add_weight(name="w", shape=(input_shape[-1], self.units))
        self.bias = self.add_weight(name="w", shape=(self.units,), initializer="zeros")
        self.built = True


class Hidden:
    """Hides a layer from Keras's tracking."""

    def __init__(self, layer):
        self.layer = layer


@mutant("sublayers_are_tracked")
class UntrackedSublayer(Same):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        object.__setattr__(self, "inner", keras.layers.Dense(3))

    def build(self, input_shape):
        self.inner.build(input_shape)
        self.built = True

    def call(self, inputs):
        return self.inner(inputs)


@mutant("file_round_trip")
class LosesWeightsInFiles(Same):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.box = Hidden(keras.layers.Dense(3))

    def call(self, inputs):
        return self.box.layer(inputs)


# Shapes


@mutant("output_shape", "output_spec")
class WrongShape(Dense):
    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units + 1)


@mutant("output_spec")
class WrongDtypeClaim(Dense):
    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs.shape[:-1], self.units), dtype="int32")


@mutant("dynamic_batch")
class FixedBatch(Same):
    def call(self, inputs):
        return ops.reshape(inputs, (4, 3))

    def compute_output_shape(self, input_shape):
        return (4, 3)


@mutant("dynamic_inner_axes", inputs=TOKENS)
class WrongWithUnknownLength(Dense):
    def compute_output_shape(self, input_shape):
        self.length = input_shape[1]
        return super().compute_output_shape(input_shape)

    def call(self, inputs):
        factor = 1.0 if getattr(self, "length", 1) else 2.0
        return super().call(inputs) * factor


@mutant("empty_batch", backends=("jax", "torch"))
class FailsOnNothing(Same):
    def call(self, inputs):
        if inputs.shape[0] == 0:
            raise ValueError("nothing")
        return inputs


# Masks


@mutant("masks", inputs=TOKENS)
class IgnoresItsMask(Same):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        return inputs - ops.mean(inputs, axis=1, keepdims=True)


# Determinism


@mutant("inference_is_pure", "training_flag", traits=("stochastic",), config={"seed": 1})
class NoisyAtInference(Same):
    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        return inputs + keras.random.normal(ops.shape(inputs), seed=self.seed_generator)


@mutant("inference_is_pure")
class CountsCalls(Same):
    def build(self, input_shape):
        self.count = self.add_weight(name="count", shape=(), initializer="zeros", trainable=False)
        self.built = True

    def call(self, inputs):
        self.count.assign(self.count + 1)
        return inputs


@mutant("global_seed")
class UnseededWeights(Dense):
    def build(self, input_shape):
        super().build(input_shape)
        self.kernel.assign(np.random.default_rng().normal(size=self.kernel.shape))


class Noise(Same):
    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training:
            return inputs
        return inputs + keras.random.normal(ops.shape(inputs), seed=self.seed_generator)


@mutant("stochastic_contract", traits=("stochastic",))
class NeverVaries(Noise):
    def call(self, inputs, training=False):
        return inputs


@mutant("stochastic_contract", traits=("stochastic",))
class IgnoresItsSeed(Noise):
    def __init__(self, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.seed_generator = keras.random.SeedGenerator(random.randrange(2**30))


@mutant("training_flag")
class ChangesInTraining(Same):
    def call(self, inputs, training=False):
        return 2.0 * inputs if training else inputs


@mutant("exemptions_are_needed", traits=("couples_batch",))
class ExcusesItself(Same):
    """Claims to couple samples and does not."""


# Batches


@mutant("batch_independence")
class CouplesTheBatch(Same):
    def call(self, inputs):
        return inputs - ops.mean(inputs, axis=0, keepdims=True)


# Gradients


@mutant("gradients_live")
class StopsAGradient(Dense):
    def call(self, inputs):
        return ops.matmul(inputs, self.kernel) + ops.stop_gradient(self.bias + 0.0)


@mutant("gradients_live", dead=("bias",))
class CallsALiveWeightDead(Dense):
    """Claims that its bias has no gradient."""


@mutant("gradients_live", dead=("scale",))
class CallsAMissingWeightDead(Dense):
    """Claims that a weight has no gradient which it does not have."""


@mutant("gradients_at_zero")
class NormWithoutGuard(Same):
    def call(self, inputs):
        return ops.sqrt(ops.sum(inputs * inputs, axis=-1, keepdims=True)) * (inputs + 1.0)


@mutant("finite_differences", backends=("tensorflow",))
class DetachedGradient(Dense):
    def call(self, inputs):
        return super().call(inputs) * ops.stop_gradient(1.0 + ops.sum(inputs * inputs))


# Numbers


@mutant("mixed_policies")
class AlwaysFloat32(Dense):
    def call(self, inputs):
        return ops.cast(super().call(inputs), "float32")


@mutant("mixed_policies")
class HalfWeights(Dense):
    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units), dtype=self.compute_dtype
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), dtype=self.compute_dtype)
        self.built = True


@mutant("float16_range", backends=("tensorflow", "jax"))
class NaiveMeanSquare(Same):
    def call(self, inputs):
        return inputs / ops.sqrt(ops.mean(inputs * inputs, axis=-1, keepdims=True) + 1e-3)


@mutant("extreme_inputs")
class NaiveSoftmax(Same):
    def call(self, inputs):
        e = ops.exp(inputs)
        return e / ops.sum(e, axis=-1, keepdims=True)


@mutant("extreme_inputs", "gradients_at_zero")
class DividesByZero(Same):
    def call(self, inputs):
        return inputs / ops.sum(ops.abs(inputs), axis=-1, keepdims=True)


@mutant("nan_is_not_hidden")
class HidesNan(Same):
    def call(self, inputs):
        return ops.where(ops.isnan(inputs), ops.zeros_like(inputs), inputs)


@mutant("dtype_policy_of_instance")
class FollowsTheGlobalPolicy(Dense):
    def call(self, inputs):
        return ops.cast(super().call(inputs), keras.config.dtype_policy().compute_dtype)


# Traits

for trait, check in (
    ("permutation_equivariant", "permutation_equivariance"),
    ("permutation_invariant", "permutation_invariance"),
    ("scale_invariant", "scale_invariance"),
    ("scale_equivariant", "scale_equivariance"),
    ("norm_preserving", "norm_preservation"),
    ("monotone", "monotonicity"),
    ("idempotent", "idempotence"),
    ("elementwise", "elementwise"),
):

    @mutant(check, inputs=TOKENS, traits=(trait,))
    class Boasts(Same):
        def call(self, inputs):
            return 1.0 - ops.square(ops.cumsum(inputs, axis=1))

    keras.saving.get_custom_objects().pop("mutants>Boasts")


# Effects


@mutant("no_side_effects")
class Prints(Same):
    def call(self, inputs):
        print("called")
        return inputs


@mutant("no_side_effects")
class SeedsTheWorld(Same):
    def call(self, inputs):
        np.random.seed(0)
        return inputs


@mutant("no_side_effects")
class ChangesTheEnvironment(Same):
    def call(self, inputs):
        os.environ["MUTANT"] = str(random.random())
        return inputs


@mutant("no_side_effects")
class WritesAFile(Same):
    def call(self, inputs):
        Path(os.devnull).write_text("x")
        return inputs


# Copies and compilation


@mutant("deep_copy")
class SharesItsCopies(Dense):
    def __deepcopy__(self, memo):
        return self


@mutant("clone_model")
class ClonesItself(Dense):
    made: ClassVar[list] = []

    @classmethod
    def from_config(cls, config):
        return cls.made[-1] if cls.made else cls(**config)

    def build(self, input_shape):
        super().build(input_shape)
        self.made.append(self)


@mutant("compiled_parity", backends=("tensorflow", "jax"))
class BranchesInPython(Same):
    def call(self, inputs):
        if float(ops.sum(inputs)) > 0:
            return inputs
        return -inputs
