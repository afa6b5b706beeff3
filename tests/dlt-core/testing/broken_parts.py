"""Losses, metrics, models and parts of weights that are broken on purpose."""

from __future__ import annotations

import keras
import pytest
from keras import ops
from mutants import MUTANTS, VECTORS, mutant

from dl_techniques.core import (
    Component,
    Constraint,
    Example,
    Initializer,
    Loss,
    Metric,
    Model,
    Regularizer,
    TensorSpec,
)

PAIR = (TensorSpec((4, 3), values="binary"), TensorSpec((4, 3), low=0.0, high=1.0))


@mutant("loss_is_a_finite_scalar", kind="loss", inputs=PAIR)
class InfiniteLoss(Loss):
    def call(self, y_true, y_pred):
        return -ops.mean(y_true * ops.log(y_pred) + (1 - y_true) * ops.log(1 - y_pred), axis=-1)


@mutant("loss_weights", kind="loss", inputs=PAIR)
class UnweightedBatchLoss(Loss):
    def call(self, y_true, y_pred):
        return 1 - ops.sum(y_true * y_pred) / (ops.sum(y_true) + ops.sum(y_pred) + 1e-6)


@mutant("loss_dtypes", kind="loss", inputs=PAIR)
class HalfLoss(Loss):
    def __call__(self, y_true, y_pred, sample_weight=None):
        return ops.mean(ops.square(ops.cast(y_true, y_pred.dtype) - y_pred))


@mutant("metric_state", kind="metric", inputs=PAIR)
class NeverResets(Metric):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign(self.total + ops.sum(ops.cast(y_true, "float32")))

    def result(self):
        return self.total + 0.0

    def reset_state(self):
        pass


@mutant("metric_state", kind="metric", inputs=PAIR)
class LastBatchOnly(NeverResets):
    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign(ops.sum(ops.cast(y_pred, "float32")))

    def reset_state(self):
        self.total.assign(0.0)


@mutant("metric_state", kind="metric", inputs=PAIR)
class KeepsItsSumInPython(Metric):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.total = 0.0

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total += float(ops.convert_to_numpy(ops.sum(ops.cast(y_pred, "float32"))))

    def result(self):
        return ops.convert_to_tensor(self.total)


@mutant("metric_weights", kind="metric", inputs=PAIR)
class IgnoresWeights(NeverResets):
    def reset_state(self):
        self.total.assign(0.0)


@mutant("masked_evaluation", kind="loss", inputs=PAIR)
class CountsWhatIsHidden(Loss):
    def __call__(self, y_true, y_pred, sample_weight=None):
        return ops.mean(ops.square(ops.cast(y_true, "float32") - y_pred))


@mutant("masked_evaluation", kind="metric", inputs=PAIR)
class SumsWhatIsHidden(NeverResets):
    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign(ops.sum(ops.cast(y_pred, "float32")))

    def reset_state(self):
        self.total.assign(0.0)


@mutant("config_after_compile", kind="model")
class StoresWhatKerasSets(Model):
    def __init__(self, loss="hinge", **kwargs):
        super().__init__(**kwargs)
        self.loss = loss

    def get_config(self):
        return {"name": self.name, "loss": self.loss}


@mutant("schedule_contract", kind="schedule", inputs=None)
class DividesByTheStep(Component, keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, rate=0.1):
        self.rate = rate

    def __call__(self, step):
        return self.rate / ops.cast(step, "float32")


class Steps(Component, keras.optimizers.Optimizer):
    def __init__(self, learning_rate=0.01, speed=1.0, name="steps", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.speed = speed

    def get_config(self):
        return keras.optimizers.Optimizer.get_config(self)

    def update_step(self, gradient, variable, learning_rate):
        rate = self.speed * ops.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, rate * gradient)


@mutant("optimizer_contract", kind="optimizer", inputs=None)
class NeverSteps(Steps):
    def update_step(self, gradient, variable, learning_rate):
        pass


@mutant("optimizer_contract", kind="optimizer", inputs=None, config={"speed": 2.0})
class ForgetsItsSpeed(Steps):
    pass


@mutant("metric_before_updates", kind="metric", inputs=PAIR)
class FailsBeforeUpdates(LastBatchOnly):
    def result(self):
        if float(ops.convert_to_numpy(self.total)) == 0:
            raise ZeroDivisionError
        return self.total + 0.0


@mutant("initializer_contract", kind="initializer")
class DrawsAnew(Initializer):
    def __call__(self, shape, dtype=None):
        return keras.random.normal(shape, dtype=dtype)


@mutant("initializer_contract", kind="initializer")
class IgnoresDtype(Initializer):
    def __call__(self, shape, dtype=None):
        return ops.ones(shape, "float32")


@mutant("regularizer_contract", kind="regularizer")
class NotAScalar(Regularizer):
    def __call__(self, x):
        return ops.sum(ops.square(x), axis=0)


@mutant("regularizer_contract", kind="regularizer")
class InfiniteGradient(Regularizer):
    def __call__(self, x):
        return ops.sqrt(ops.sum(ops.square(x)))


@mutant("constraint_contract", kind="constraint")
class NotAProjection(Constraint):
    def __call__(self, w):
        return w * 0.5


@mutant("model_trains", kind="model")
class Frozen(Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(2)

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, inputs):
        return ops.stop_gradient(self.dense(inputs)) + 0.0 * self.dense.kernel[0, 0]


@mutant("part_in_a_file", kind="regularizer")
class LosesItself(Regularizer):
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * ops.sum(ops.square(x))

    def get_config(self):
        return {}


MUTANTS.pop()
MUTANTS.append(
    pytest.param(
        Example(LosesItself, {"factor": 1.0}, VECTORS), "part_in_a_file", id="part_in_a_file"
    )
)


@mutant("pickling", kind="regularizer")
class ForgetsWhenPickled(Regularizer):
    def __init__(self, factor=1.0):
        self.factor = factor

    def __call__(self, x):
        return self.factor * ops.sum(ops.square(x))

    def __reduce__(self):
        return type(self), (self.factor + 1,)
