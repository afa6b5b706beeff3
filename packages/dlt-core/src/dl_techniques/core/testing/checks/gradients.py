"""Gradients: there, finite, and right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, project

# Rounding leaves up to 4e-8 of a gradient that is zero; a weight that acts through a nearly uniform
# softmax and a layer scale of 0.01 has 1e-6.
_NEGLIGIBLE = 2e-7


def _require_differentiable(subject: Subject) -> None:
    if subject.has("not_differentiable"):
        raise NotApplicable("it is not differentiable, as its trait says")


@check()
def gradients_live(subject: Subject) -> None:
    """Every weight and floating input has a gradient, finite and not negligible, or is dead."""
    _require_differentiable(subject)
    built = subject.built
    result = subject.differentiate(built, subject.arrays())
    named = dict(zip((v.path for v in built.trainable_variables), result.variables, strict=True))
    for key, gradient in zip(subject.specs, result.inputs, strict=True):
        if key in subject.floating:
            named[f"input {key}"] = gradient
    if not named:
        raise NotApplicable("there is nothing to differentiate by")
    dead = subject.example.dead
    is_dead = {name: any(f"/{name}".endswith(f"/{end}") for end in dead) for name in named}
    for name, gradient in named.items():
        require(gradient is not None or is_dead[name], f"{name} has no gradient")
        finite = gradient is None or np.isfinite(gradient).all()
        require(finite, f"the gradient of {name} is not finite")
    sizes = {k: 0.0 if g is None else float(np.abs(g).max(initial=0)) for k, g in named.items()}
    largest = max(sizes.values())
    for name, size in sizes.items():
        share = size / (largest or 1.0)
        if is_dead[name]:
            require(share <= _NEGLIGIBLE, f"{name} is in `dead` and has a gradient")
        else:
            require(share > _NEGLIGIBLE, f"the gradient of {name} is {share:.1e} of the largest")
    for end in dead:
        require(any(f"/{n}".endswith(f"/{end}") for n in named), f"`dead`: no weight is {end!r}")


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
    with subject.policy("float64") as overrides:
        instance = subject.create(**overrides)
        subject.call(instance, arrays)
    result = subject.differentiate(instance, arrays)
    slopes = [
        _Slope(variable.path, gradient, variable.assign_add)
        for variable, gradient in zip(instance.trainable_variables, result.variables, strict=True)
        if gradient is not None
    ]
    for key, gradient in zip(arrays, result.inputs, strict=True):
        if gradient is not None and key in subject.free:

            def shift(delta: Any, key: Any = key) -> None:
                arrays[key] = arrays[key] + delta

            slopes.append(_Slope(f"input {key}", gradient, shift))
    largest = max((float(np.abs(slope.gradient).max(initial=0)) for slope in slopes), default=0.0)

    def value() -> float:
        return float(ops.convert_to_numpy(project(subject.call(instance, arrays))))

    def error(chosen: list[_Slope]) -> float:
        """Return how far the slope along the chosen directions is from what the gradients say."""
        rng = np.random.default_rng(1)
        directions = [rng.normal(size=slope.gradient.shape) for slope in chosen]
        directions = [direction / (np.linalg.norm(direction) or 1.0) for direction in directions]

        def move(step: float) -> None:
            for slope, direction in zip(chosen, directions, strict=True):
                slope.shift(step * direction)

        step = 1e-6
        move(step)
        above = value()
        move(-2 * step)
        below = value()
        move(step)
        claimed = sum(
            float((slope.gradient * direction).sum())
            for slope, direction in zip(chosen, directions, strict=True)
        )
        return abs((above - below) / (2 * step) - claimed) / (largest or 1.0)

    # A step of equal length along each at once sees an error of any: two calls instead of two each.
    together = error(slopes)
    if together <= 1e-5:
        return
    for slope in slopes:
        off = error([slope])
        require(off <= 1e-5, f"the gradient of {slope.name} is off by {off:.1e} of the largest")
    require(False, f"the gradients together are off by {together:.1e} of the largest")


class _Slope(NamedTuple):
    """A weight or an input, its gradient, and how to move it."""

    name: str
    gradient: Any
    shift: Callable[[Any], Any]
