"""Wrong arguments."""

from __future__ import annotations

import inspect

import numpy as np

from dl_techniques.core.contract.bounds import bounds_of
from dl_techniques.core.contract.example import Rejection
from dl_techniques.core.testing.check import ANY, NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, difference


@check(kinds=ANY)
def rejections(subject: Subject) -> None:
    """Each argument beyond its bound, or declared as wrong, raises an error that names it.

    The error is a ValueError or TypeError.
    """
    declared = list(getattr(subject.cls, "rejections", tuple)())
    bounds = bounds_of(subject.cls) if subject.is_class else {}
    if not declared and not bounds:
        raise NotApplicable("it declares no bounds and no rejections")
    subject.require_first()
    config = {**subject.example.config, **subject.parts()}
    derived = [
        Rejection(subject.cls, {**config, name: bound.beyond}, name)
        for name, bound in bounds.items()
    ]
    for rejection in [*derived, *declared]:
        _require_refusal(rejection)


@check()
def channels_first(subject: Subject) -> None:
    """`data_format="channels_first"` gives the same, axes moved, or the constructor refuses it."""
    if "data_format" not in inspect.signature(subject.cls.__init__).parameters:
        raise NotApplicable("it has no `data_format`")
    if subject.example.config.get("data_format", "channels_last") != "channels_last":
        raise NotApplicable("the example itself is not channels_last")
    try:
        instance = subject.create(data_format="channels_first")
    except (ValueError, TypeError) as error:
        require("data_format" in str(error), f"the refusal does not name `data_format`: {error}")
        return
    if any(len(spec.shape) < 3 or not spec.batched for spec in subject.specs.values()):
        raise NotApplicable("not all its inputs have a channel axis")
    moved = {key: np.moveaxis(array, -1, 1) for key, array in subject.arrays().items()}
    try:
        subject.call(instance, moved)
    except Exception as error:
        # Without oneDNN, which not every processor has, TensorFlow cannot convolve these.
        if "NHWC" in str(error) or "NDHWC" in str(error):
            raise NotApplicable("TensorFlow needs channels last on this processor") from error
        raise
    instance.set_weights(subject.built.get_weights())
    expected = [np.moveaxis(a, -1, 1) if a.ndim >= 3 else a for a in subject.expected]
    gap = difference(subject.outputs(instance, moved), expected)
    require(gap <= 1e-4, f"channels_first differs by {gap:.1e} from channels_last")


def _require_refusal(rejection: Rejection) -> None:
    stated = f"{rejection.cls.__name__}({dict(rejection.config)})"
    try:
        instance = rejection.cls(**rejection.config)
        if rejection.build is not None:
            shapes = rejection.build
            if isinstance(shapes, dict):
                instance.build(**shapes)
            else:
                instance.build(shapes)
    except (ValueError, TypeError) as error:
        require(
            rejection.argument in str(error),
            f"{stated}: the message does not name `{rejection.argument}`: {error}",
        )
        return
    raise AssertionError(f"{stated} built with {rejection.build} is accepted")
