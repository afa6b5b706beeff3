"""The kit's own rules: strictness, counting, JSON, and the three lines of a third party."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from dl_techniques.core import Example, Layer, TensorSpec, component
from dl_techniques.core.testing import (
    CHECKS,
    ConformanceError,
    NotApplicable,
    Report,
    check_component,
    parametrize_with_checks,
)

DENSE = Example(keras.layers.Dense, {"units": 2}, TensorSpec((4, 3)))
CROP = Example(keras.layers.RandomCrop, {"height": 2, "width": 2}, TensorSpec((2, 4, 4, 3)))
EIGHT = ["config_round_trip", "output_shape", "gradients_live"]


def test_the_table_holds_the_checks_of_the_contract():
    assert len(CHECKS) >= 50
    assert {check.level for check in CHECKS.values()} == {"must", "may"}
    assert all(check.summary.endswith(".") for check in CHECKS.values())


def test_a_report_counts_and_serializes():
    report = check_component(DENSE, only=EIGHT)
    assert len(report) == 3
    document = json.loads(json.dumps(report.to_json()))
    assert document["schema"] == 2
    assert document["results"][0].keys() == {
        "component", "example", "check", "level", "status", "message", "seconds", "cause",
    }  # fmt: skip
    assert "3 passed" in report.summary()
    report.raise_for_failures()


def test_checks_draw_the_same_weights_unless_others_are_asked_for(monkeypatch):
    drawn = []

    class Recorded(keras.layers.Dense):
        def build(self, input_shape):
            super().build(input_shape)
            drawn.append(keras.ops.convert_to_numpy(self.kernel))

    def kernels():
        drawn.clear()
        check_component(Example(Recorded, {"units": 2}, TensorSpec((4, 3))), only=["output_shape"])
        return np.stack(drawn)

    first = kernels()
    assert np.array_equal(first, kernels())
    monkeypatch.setenv("CONFORMANCE_SEED", "1")
    assert not np.array_equal(first, kernels())


def test_failures_are_raised_with_the_results():
    report = check_component(CROP, only=["output_shape"])
    assert len(report.failures) == 1
    with pytest.raises(ConformanceError, match="output_shape") as caught:
        report.raise_for_failures()
    assert caught.value.failures == report.failures
    assert "FAILED output_shape" in report.summary()


def test_checks_after_a_failed_step_are_skipped_and_its_cause_is_reported_once():
    @component("machinery>Broken", kind="layer")
    class Broken(Layer):
        def build(self, input_shape):
            raise RuntimeError("no such thing")

    report = check_component(Example(Broken, {}, TensorSpec((4, 3))))
    told = [r for r in report if r.status in {"failed", "skipped"} and r.level == "must"]
    assert len({r.cause for r in told if r.check != "fresh_process"}) == 1
    assert len(report.failures) <= 2
    assert report.counts["skipped"] > 20
    assert report.ran == len(report) - report.counts["skipped"] - report.counts["not_applicable"]
    first, second, *_ = report.summary().splitlines()
    assert "no such thing" in first
    assert "same reason" in second
    assert sum("no such thing" in line for line in report.summary().splitlines()) == 1


def test_a_mapping_is_the_only_argument_or_names_several():
    @component("machinery>Several", kind="layer")
    class Several(Layer):
        """Doubles `x`, and adds `y`."""

        def call(self, x, y):
            return 2 * x + y

    @component("machinery>Mapped", kind="layer")
    class Mapped(Layer):
        """Doubles `x`, and adds `y`."""

        def call(self, inputs):
            return 2 * inputs["x"] + inputs["y"]

    inputs = {"x": TensorSpec((4, 3)), "y": TensorSpec((4, 3))}
    for cls in (Several, Mapped):
        report = check_component(Example(cls, {}, inputs), only=["output_spec", "dynamic_batch"])
        report.raise_for_failures()


def test_a_step_that_failed_once_blocks_no_other_example():
    def examples():
        yield Example(keras.layers.Dense, {"units": 2}, TensorSpec((4,)), name="no channels")
        yield DENSE

    class Both(keras.layers.Dense):
        pass

    Both.examples = staticmethod(examples)
    report = check_component(Both, only=["output_shape", "inference_is_pure"])
    assert [r.status for r in report if r.example == "default"] == ["passed", "passed"]
    assert next(r.status for r in report if r.example != "default") == "failed"


def test_an_expected_failure_is_not_a_failure():
    report = check_component(
        CROP, only=["output_shape"], expected_failures={"output_shape": "RandomCrop is idle"}
    )
    assert report[0].status == "expected_failure"
    assert report[0].message == "RandomCrop is idle"
    assert not report.failures


def test_an_expected_failure_that_passes_is_a_failure():
    report = check_component(
        DENSE, only=["output_shape"], expected_failures={"output_shape": "because"}
    )
    assert len(report.failures) == 1
    assert "does not" in report[0].message


def test_unknown_checks_and_empty_runs_are_errors():
    with pytest.raises(ValueError, match="no check 'nonsense'"):
        check_component(DENSE, expected_failures={"nonsense": "because"})
    with pytest.raises(ValueError, match="no check 'nonsense'"):
        check_component(DENSE, only=["nonsense"])
    with pytest.raises(ValueError, match="No check applies"):
        check_component(DENSE, only=["initializer_contract"])
    with pytest.raises(ValueError, match="no `examples"):
        check_component(keras.layers.Dense)
    with pytest.raises(ValueError, match="nothing to check"):
        parametrize_with_checks([])
    with pytest.raises(ValueError, match="nothing to check"):
        parametrize_with_checks("no-such-distribution")


def test_inapplicable_checks_are_counted_with_their_reason():
    report = check_component(DENSE, only=["masks", "stochastic_contract"])
    assert {result.status for result in report} == {"not_applicable"}
    assert all(result.message for result in report)


def test_an_empty_report_has_no_failures():
    assert not Report(()).failures
    assert issubclass(NotApplicable, Exception)


def test_identifiers_are_resolved_by_the_registry():
    pytest.importorskip("dl_techniques.layers")
    report = check_component("RMSNorm", only=["config_round_trip"])
    assert {result.component for result in report} == {"dl_techniques>RMSNorm"}


THIRD_PARTY = """
import keras
from dl_techniques.core import Example, Layer, TensorSpec, component
from dl_techniques.core.testing import parametrize_with_checks

DENSE = Example(keras.layers.Dense, {"units": 2}, TensorSpec((4, 3)))

@parametrize_with_checks([DENSE]%s)
def test_conformance(component, check): check()
"""


@pytest.mark.parametrize(
    ("extra", "passed", "failed", "xfailed"),
    [
        ("", len([c for c in CHECKS.values() if not c.kinds or "layer" in c.kinds]), 0, 0),
        (
            ', expected_failures={"keras.src.layers.core.dense.Dense": {"output_shape": "x"}}',
            None,
            1,
            0,
        ),
    ],
)
def test_three_lines_run_the_kit(pytester, extra, passed, failed, xfailed):
    pytester.makepyfile(THIRD_PARTY % extra)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "ignore")
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) == failed
    if passed:
        # A check that does not apply is skipped with its reason.
        assert outcomes["passed"] + outcomes["skipped"] == passed


pytest_plugins = "pytester"
