"""Wrong arguments."""

from __future__ import annotations

from typing import Any

from dl_techniques.core.example import Rejection
from dl_techniques.core.testing.check import ANY, NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject


@check(kinds=ANY)
def rejections(subject: Subject) -> None:
    """Each declared wrong argument raises a ValueError or TypeError that names it."""
    declared = list(getattr(subject.cls, "rejections", tuple)())
    if not declared:
        raise NotApplicable("it declares no rejections")
    for rejection in declared:
        _require_refusal(rejection)


@check()
def channels_first(subject: Subject) -> None:
    """`data_format="channels_first"` is supported or refused in the constructor."""
    if "data_format" not in _parameters(subject.cls):
        raise NotApplicable("it has no `data_format`")
    try:
        subject.create(data_format="channels_first")
    except (ValueError, TypeError) as error:
        require("data_format" in str(error), f"the refusal does not name `data_format`: {error}")
        return
    raise NotApplicable("channels_first is supported; its results are the component's own tests")


def _parameters(cls: Any) -> set[str]:
    import inspect

    return set(inspect.signature(cls.__init__).parameters)


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
