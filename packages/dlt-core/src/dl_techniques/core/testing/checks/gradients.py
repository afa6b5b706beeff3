"""Gradients: there, finite, and right."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, project


def _require_differentiable(subject: Subject) -> None:
    if subject.has("not_differentiable"):
        raise NotApplicable("it is not differentiable, as its trait says")


@check()
def gradients_live(subject: Subject) -> None:
    """Every trainable weight and floating input has a gradient, finite and not negligible."""
    _require_differentiable(subject)
    built = subject.built
    result = subject.differentiate(built, subject.arrays())
    named = dict(zip((v.path for v in built.trainable_variables), result.variables, strict=True))
    for key, gradient in zip(subject.specs, result.inputs, strict=True):
        if key in subject.floating:
            named[f"input {key}"] = gradient
    if not named:
        raise NotApplicable("there is nothing to differentiate by")
    for name, gradient in named.items():
        require(gradient is not None, f"{name} has no gradient")
        require(np.isfinite(gradient).all(), f"the gradient of {name} is not finite")
    largest = max(float(np.abs(gradient).max(initial=0)) for gradient in named.values())
    for name, gradient in named.items():
        share = float(np.abs(gradient).max(initial=0)) / (largest or 1.0)
        require(share > 1e-6, f"the gradient of {name} is {share:.1e} of the largest")


@check()
def gradients_at_zero(subject: Subject) -> None:
    """At zero input every gradient is finite."""
    _require_differentiable(subject)
    if not subject.free:
        raise NotApplicable("it has no input that may be zero")
    arrays = {k: v * 0 if k in subject.free else v for k, v in subject.arrays().items()}
    result = subject.differentiate(subject.built, arrays)
    for gradient in (*result.variables, *result.inputs):
        finite = gradient is None or np.isfinite(gradient).all()
        require(finite, "a gradient at zero input is not finite")


@check()
def finite_differences(subject: Subject) -> None:
    """Gradients equal central differences in float64 (on TensorFlow, the one with float64)."""
    _require_differentiable(subject)
    if keras.backend.backend() != "tensorflow":
        raise NotApplicable("only TensorFlow computes in float64 throughout")
    if not all(spec.dtype == "float32" for spec in subject.specs.values()):
        raise NotApplicable("not all inputs are float32")
    floatx = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        _compare_with_differences(subject)
    finally:
        keras.config.set_floatx(floatx)


def _compare_with_differences(subject: Subject) -> None:
    arrays = {key: value.astype("float64") for key, value in subject.arrays().items()}
    instance = subject.create(dtype="float64")
    subject.call(instance, arrays)
    rng = np.random.default_rng(1)
    result = subject.differentiate(instance, arrays)
    scale = max((float(np.abs(g).max()) for g in result.variables if g is not None), default=0.0)
    scale = max([scale, *(float(np.abs(g).max()) for g in result.inputs if g is not None)])
    step = 1e-6

    def value() -> float:
        return float(ops.convert_to_numpy(project(subject.call(instance, arrays))))

    def compare(name: str, gradient: Any, shift: Any) -> None:
        direction = rng.normal(size=gradient.shape)
        direction /= np.linalg.norm(direction) or 1.0
        shift(step * direction)
        above = value()
        shift(-2 * step * direction)
        below = value()
        shift(step * direction)
        estimate = (above - below) / (2 * step)
        error = abs(estimate - float((gradient * direction).sum())) / (scale or 1.0)
        require(error <= 1e-5, f"the gradient of {name} is off by {error:.1e} of the largest")

    for variable, gradient in zip(instance.trainable_variables, result.variables, strict=True):
        if gradient is not None:
            compare(variable.path, gradient, variable.assign_add)
    for key, gradient in zip(arrays, result.inputs, strict=True):
        if gradient is not None and key in subject.free:

            def shift(delta: Any, key: Any = key) -> None:
                arrays[key] = arrays[key] + delta

            compare(f"input {key}", gradient, shift)
