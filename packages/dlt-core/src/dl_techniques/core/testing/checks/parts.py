"""Losses, metrics, and what attaches to weights."""

from __future__ import annotations

import inspect
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.core.testing.subject import Subject


def _number(tensor: Any) -> Any:
    return np.asarray(ops.convert_to_numpy(tensor)).astype("float64")


def _pair(subject: Subject) -> list[Any]:
    arrays = list(subject.arrays().values())
    if len(arrays) != 2:
        raise NotApplicable("its example has no targets and predictions")
    return arrays


def _weights(subject: Subject) -> Any:
    return np.random.default_rng(5).uniform(0.5, 1.5, subject.specs[0].shape[:1]).astype("float32")


@check(kinds=("loss",))
def loss_is_a_finite_scalar(subject: Subject) -> None:
    """A loss is a finite scalar with finite gradients, also at predictions of zero and one."""
    y_true, y_pred = _pair(subject)
    loss = subject.create()
    bounded = subject.specs[1].low is not None or subject.specs[1].values != "random"
    cases = [y_pred, *([np.zeros_like(y_pred), np.ones_like(y_pred)] if bounded else [])]
    for case in cases:
        result = value_and_gradients(loss, [], [y_true, case])
        require(result.value.shape == (), f"the loss has the shape {result.value.shape}")
        require(np.isfinite(result.value), "the loss is not finite")
        gradient = result.inputs[1]
        require(gradient is not None, "the loss has no gradient")
        require(np.isfinite(gradient).all(), "the gradient of the loss is not finite")


@check(kinds=("loss",))
def loss_weights(subject: Subject) -> None:
    """A sample of weight zero counts as absent, and equal weights change nothing."""
    y_true, y_pred = _pair(subject)
    loss = subject.create(reduction="sum")
    ones = np.ones(len(y_true), "float32")
    plain, equal = _number(loss(y_true, y_pred)), _number(loss(y_true, y_pred, ones))
    require(np.allclose(plain, equal, rtol=1e-5), f"weights of one give {equal}, none {plain}")
    dropped = ones.copy()
    dropped[-1] = 0
    without = _number(loss(y_true[:-1], y_pred[:-1]))
    zeroed = _number(loss(y_true, y_pred, dropped))
    close = np.allclose(without, zeroed, rtol=1e-5, atol=1e-6)
    require(close, f"weight zero gives {zeroed}, leaving the sample out {without}")


@check(kinds=("loss",))
def loss_dtypes(subject: Subject) -> None:
    """Integer targets and half-precision predictions give the loss in its own dtype."""
    y_true, y_pred = _pair(subject)
    loss = subject.create()
    value = loss(y_true, ops.cast(y_pred, "bfloat16"))
    dtype = keras.backend.standardize_dtype(value.dtype)
    require(dtype == keras.config.floatx(), f"bfloat16 predictions give a loss in {dtype}")
    require(np.isfinite(_number(value)), "bfloat16 predictions give a loss that is not finite")


@check(kinds=("metric",))
def metric_state(subject: Subject) -> None:
    """Resetting gives the state of a fresh metric; the order of updates does not matter."""
    arrays = list(subject.arrays().values())
    halves = [tuple(a[: len(a) // 2] for a in arrays), tuple(a[len(a) // 2 :] for a in arrays)]
    if subject.has("couples_batch"):
        halves = [tuple(arrays), tuple(a[::-1] for a in arrays)]
    metric, other = subject.create(), subject.create()
    fresh = [_number(variable) for variable in metric.variables]
    for half in halves:
        metric.update_state(*half)
    for half in reversed(halves):
        other.update_state(*half)
    ours, theirs = _number(metric.result()), _number(other.result())
    require(np.isfinite(ours).all(), "the result is not finite")
    require(np.allclose(ours, theirs, rtol=1e-5), f"{ours} or {theirs}, by the order of updates")
    metric.reset_state()
    for variable, value in zip(metric.variables, fresh, strict=True):
        same = np.array_equal(_number(variable), value)
        require(same, f"reset_state leaves {variable.path} as it was")
    ours, theirs = _number(metric.result()), _number(subject.create().result())
    same = np.array_equal(ours, theirs, equal_nan=True)
    require(same, f"after reset_state the result is {ours}, that of a fresh metric {theirs}")


@check(kinds=("metric",))
def metric_before_updates(subject: Subject) -> None:
    """A metric that has seen nothing gives a result without an error."""
    _number(subject.create().result())


@check(kinds=("metric",))
def metric_weights(subject: Subject) -> None:
    """A sample of weight zero counts as absent."""
    if "sample_weight" not in inspect.signature(subject.cls.update_state).parameters:
        raise NotApplicable("it takes no weights")
    if subject.has("couples_batch"):
        raise NotApplicable("it couples the samples of a batch")
    arrays = _pair(subject)
    weights = np.ones(len(arrays[0]), "float32")
    weights[-1] = 0
    zeroed, without = subject.create(), subject.create()
    zeroed.update_state(*arrays, sample_weight=weights)
    without.update_state(*(array[:-1] for array in arrays))
    ours, theirs = _number(zeroed.result()), _number(without.result())
    close = np.allclose(ours, theirs, rtol=1e-5, atol=1e-6, equal_nan=True)
    require(close, f"weight zero gives {ours}, leaving the sample out {theirs}")


@check(kinds=("schedule",))
def schedule_contract(subject: Subject) -> None:
    """At any step, as a number or a tensor, the rate is one finite number, not negative."""
    schedule = subject.create()
    for step in (0, 1, 1000, 1_000_000):
        for given in (step, ops.convert_to_tensor(step, "int32")):
            rate = _number(schedule(given))
            require(rate.shape == (), f"at step {step} the rate has the shape {rate.shape}")
            require(np.isfinite(rate) and rate >= 0, f"at step {step} the rate is {rate}")


@check(kinds=("optimizer",))
def optimizer_contract(subject: Subject) -> None:
    """Steps down a bowl lead down, and an instance from the configuration takes the same ones."""
    optimizer = subject.create()
    again = subject.cls.from_config(optimizer.get_config())
    ends = [_descend(optimizer), _descend(again)]
    require(np.isfinite(ends[0]).all(), "a step makes a weight that is not finite")
    require(np.sum(ends[0] ** 2) < np.sum(_START**2), f"steps from {_START} lead to {ends[0]}")
    same = np.allclose(ends[0], ends[1], rtol=1e-6, atol=1e-7)
    require(same, f"an instance from the configuration leads to {ends[1]}, not to {ends[0]}")


_START: Final = np.array([3.0, -2.0], "float32")


def _descend(optimizer: Any) -> Any:
    variable = keras.Variable(_START)
    optimizer.build([variable])
    for _ in range(5):
        optimizer.apply([2 * variable.value], [variable])
    return _number(variable)


@check(kinds=("initializer",))
def initializer_contract(subject: Subject) -> None:
    """It gives the shape and dtype asked for, and the same numbers for the same seed."""
    shape = subject.specs[0].shape
    initializer = subject.create()
    for dtype in ("float32", "bfloat16"):
        tensor = initializer(shape, dtype=dtype)
        got = (tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))
        require(got == (shape, dtype), f"{(shape, dtype)} was asked for, {got} came")
    first, second = _number(initializer(shape)), _number(initializer(shape))
    require(np.isfinite(first).all(), "it gives numbers that are not finite")
    require(np.array_equal(first, second), "two calls of one instance differ")
    config = initializer.get_config()
    again = _number(subject.cls.from_config(config)(shape))
    require(np.array_equal(first, again), "an instance from the configuration differs")
    if "seed" in config:
        ours, theirs = (subject.create(seed=None) for _ in range(2))
        require(
            not np.array_equal(_number(ours(shape)), _number(theirs(shape))),
            "two instances without a seed give the same numbers",
        )


@check(kinds=("regularizer",))
def regularizer_contract(subject: Subject) -> None:
    """The penalty is a finite scalar, not negative, with a finite gradient, also at zero."""
    (weight,) = subject.arrays().values()
    regularizer = subject.create()
    for case in (weight, weight * 0):
        result = value_and_gradients(regularizer, [], [case])
        require(result.value.shape == (), f"the penalty has the shape {result.value.shape}")
        require(np.isfinite(result.value) and result.value >= 0, f"the penalty is {result.value}")
        gradient = result.inputs[0]
        require(gradient is not None and np.isfinite(gradient).all(), "its gradient is not finite")
    half = regularizer(ops.cast(weight, "bfloat16"))
    require(np.isfinite(_number(half)), "the penalty of a bfloat16 weight is not finite")


@check(kinds=("constraint",))
def constraint_contract(subject: Subject) -> None:
    """A constraint keeps shape and dtype, and applying it again changes nothing."""
    (weight,) = subject.arrays().values()
    constraint = subject.create()
    for dtype in ("float32", "bfloat16"):
        tensor = ops.cast(weight, dtype)
        once = constraint(tensor)
        got = (tuple(once.shape), keras.backend.standardize_dtype(once.dtype))
        require(got == (weight.shape, dtype), f"{(weight.shape, dtype)} becomes {got}")
        twice = constraint(once)
        tolerance = 1e-6 if dtype == "float32" else 1e-2
        same = np.allclose(_number(once), _number(twice), rtol=tolerance, atol=tolerance)
        require(same, "applying it again changes the weight")
        require(np.isfinite(_number(once)).all(), "the constrained weight is not finite")


@check(kinds=("model",))
def model_trains(subject: Subject) -> None:
    """One step of `fit` gives a finite loss and changes a weight."""
    if len(subject.specs) != 1 or len(subject.expected) != 1:
        raise NotApplicable("it has several inputs or outputs")
    model = subject.make()
    before = [w.copy() for w in model.get_weights()]
    model.compile("sgd", "mse")
    target = np.zeros_like(subject.expected[0])
    history = model.fit(subject.arrays()[0], target, epochs=1, verbose=0)
    require(np.isfinite(history.history["loss"]).all(), "the loss of a training step is not finite")
    moved = any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    require(moved, "a training step changes no weight")
