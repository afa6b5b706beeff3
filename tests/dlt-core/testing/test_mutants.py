"""Deliberately broken components, at least one a check: each is caught by its check.

The good control at the end passes everything, so that a check cannot be right by always failing.
"""

from __future__ import annotations

import broken_layers  # noqa: F401 - its classes add themselves to MUTANTS
import broken_quietly  # noqa: F401
import keras
import pytest
from broken_parts import PAIR
from keras import ops
from mutants import MUTANTS, TOKENS, VECTORS, Dense
from sound_parts import EXAMPLES

from dl_techniques.core import Component, Example, Loss, Rejection, component
from dl_techniques.core.testing import CHECKS, check_component


@pytest.mark.parametrize(("example", "check"), MUTANTS)
@pytest.mark.filterwarnings("ignore")
def test_a_broken_component_is_caught_by_its_check(example, check):
    report = check_component(example, only=[check])
    assert [result.status for result in report] == ["failed"], report.summary()
    assert report[0].message


def test_every_check_has_a_mutant():
    caught = {parameter.values[1] for parameter in MUTANTS}
    # These two start other processes: their mutants are in test_processes.py.
    assert set(CHECKS) - caught == {"fresh_process", "import_cost"}
    assert len(MUTANTS) >= 40


# This module as a whole is impure on purpose, and its controls are not importable by name.
IMPURE = {"backend_purity", "documentation", "documented_example"}


@component("mutants>Control", kind="layer")
class Control(Dense):
    """Scale and shift: y = x W + b.

    Args:
        units: Number of outputs.

    Input shape:
        `(batch, channels)`.

    Output shape:
        `(batch, units)`.

    Example:
        >>> Control(2).units
        2

    References:
        None; it is a control.
    """

    def __init__(self, units=2, **kwargs):
        if units < 1:
            raise ValueError(f"`units` must be positive. Received: units={units}")
        super().__init__(units, **kwargs)

    @classmethod
    def rejections(cls):
        yield Rejection(cls, {"units": 0}, "units")


@component("mutants>ControlLoss", kind="loss")
class ControlLoss(Loss):
    """Mean squared error."""

    def call(self, y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred), axis=-1)


@component("mutants>ControlCallback", kind="callback")
class ControlCallback(Component, keras.callbacks.Callback):
    """Does nothing."""

    def __init__(self, target=1.0):
        super().__init__()
        self.target = target


@pytest.mark.parametrize(
    "example",
    [
        Example(Control, {}, VECTORS),
        Example(Control, {"units": 4}, TOKENS, name="tokens"),
        Example(ControlLoss, {}, PAIR),
        Example(ControlCallback, {"target": 2.0}),
        *EXAMPLES,
    ],
    ids=lambda example: f"{example.cls.__name__}-{example.name}",
)
def test_a_sound_component_has_no_finding(example):
    names = [name for name in CHECKS if name not in IMPURE]
    report = check_component(example, only=names)
    assert not report.failures, report.summary()
    assert not report.warnings, report.summary()
    assert sum(result.status == "passed" for result in report) >= 4
