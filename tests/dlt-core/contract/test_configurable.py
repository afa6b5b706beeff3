"""Configurations follow from signatures: every kind, nested objects, inheritance, JSON."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core import (
    Constraint,
    Initializer,
    Layer,
    Loss,
    Metric,
    Regularizer,
    component,
)


@component("contract>Scale", kind="constraint")
class Scale(Constraint):
    """w -> factor w."""

    def __init__(self, factor=2.0):
        self.factor = factor

    def __call__(self, w):
        return self.factor * w


@component("contract>Ramp", kind="initializer")
class Ramp(Initializer):
    """0, 1, 2, ..."""

    def __init__(self, step=1.0):
        self.step = step

    def __call__(self, shape, dtype=None):
        return ops.reshape(self.step * ops.arange(int(np.prod(shape)), dtype=dtype), shape)


@component("contract>Power", kind="regularizer")
class Power(Regularizer):
    """sum |w|^p."""

    def __init__(self, p=2):
        self.p = p

    def __call__(self, x):
        return ops.sum(ops.abs(x) ** self.p)


@component("contract>Outer", kind="layer")
class Outer(Layer):
    """Takes one of everything."""

    def __init__(
        self,
        units,
        inner=None,
        activation="gelu",
        kernel_initializer="ones",
        kernel_regularizer=None,
        kernel_constraint=None,
        sizes=(1, 2),
        table=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.inner = inner
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.sizes = tuple(sizes)
        self.table = table

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer=self.kernel_initializer
        )
        self.inner.build(input_shape[:-1] + (self.units,))  # noqa: RUF005 -- lists would fail here
        self.built = True

    def call(self, inputs):
        return self.inner(self.activation(inputs @ self.kernel))


@component("contract>Nested", kind="layer")
class Nested(Outer):
    """Passes the rest on."""

    def __init__(self, units=3, extra=0, **kwargs):
        super().__init__(units, **kwargs)
        self.extra = extra


def make(cls=Outer, **overrides):
    arguments = {
        "units": 3,
        "inner": keras.layers.Dense(2, name="inner"),
        "kernel_initializer": Ramp(0.5),
        "kernel_regularizer": Power(3),
        "kernel_constraint": Scale(0.1),
        "table": {"a": [1, None], "b": {"c": "d"}},
        "name": "outer",
    }
    return cls(**{**arguments, **overrides})


@pytest.mark.parametrize("cls", [Outer, Nested])
def test_config_survives_json_and_gives_an_equal_one(cls):
    layer = make(cls)
    config = json.loads(json.dumps(layer.get_config()))
    again = cls.from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    assert again.sizes == (1, 2)
    assert again.table == {"a": [1, None], "b": {"c": "d"}}
    assert isinstance(again.kernel_regularizer, Power)
    assert again.kernel_regularizer.p == 3
    assert again.inner is not layer.inner


def test_builtin_functions_are_known_by_their_bare_name():
    assert make().get_config()["activation"] == "gelu"


def test_declared_functions_are_stored_by_identifier():
    @component("contract>cube", kind="function")
    def cube(x):
        """x^3."""
        return x * x * x

    config = json.loads(json.dumps(make(activation=cube).get_config()))
    assert Outer.from_config(config).activation is cube


@pytest.mark.parametrize("function", [ops.gelu, lambda x: x], ids=["namesake", "lambda"])
def test_a_function_that_would_not_come_back_is_refused(function):
    with pytest.raises(TypeError, match="Declare it"):
        make(activation=function).get_config()


def test_inherited_parameters_are_stored_once_under_their_names():
    config = make(Nested, extra=7).get_config()
    assert config["extra"] == 7
    assert config["units"] == 3


def test_a_parameter_not_stored_under_its_name_is_an_error_that_says_so():
    class Forgetful(Layer):
        def __init__(self, units):
            super().__init__()
            self.other = units

    with pytest.raises(TypeError, match="`units`"):
        Forgetful(3).get_config()


def test_a_model_file_restores_the_weights_of_sub_layers(tmp_path):
    inputs = keras.Input((4, 5))
    model = keras.Model(inputs, make(Nested)(inputs))
    x = np.random.default_rng(0).normal(size=(2, 4, 5)).astype("float32")
    expected = ops.convert_to_numpy(model(x))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(again(x)), expected)


def test_dtype_policies_survive():
    layer = make(dtype="mixed_bfloat16")
    assert Outer.from_config(layer.get_config()).dtype_policy.name == "mixed_bfloat16"


def test_losses_keep_name_reduction_and_dtype():
    @component("contract>Gap", kind="loss")
    class Gap(Loss):
        """|y - p|."""

        def __init__(self, margin=0.0, **kwargs):
            super().__init__(**kwargs)
            self.margin = margin

        def call(self, y_true, y_pred):
            return ops.mean(ops.abs(y_true - y_pred), axis=-1) - self.margin

    loss = Gap(0.5, name="gap", reduction="sum", dtype="bfloat16")
    again = Gap.from_config(json.loads(json.dumps(loss.get_config())))
    assert (again.margin, again.name, again.reduction, again.dtype) == (
        0.5,
        "gap",
        "sum",
        "bfloat16",
    )


def test_metrics_keep_name_and_dtype():
    @component("contract>Count", kind="metric")
    class Count(Metric):
        """Counts batches."""

        def __init__(self, start=0, **kwargs):
            super().__init__(**kwargs)
            self.start = start
            self.count = self.add_variable((), "zeros", name="count")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.count.assign(self.count + 1)

        def result(self):
            return self.start + self.count

    again = Count.from_config(Count(start=4, name="n").get_config())
    assert (again.start, again.name) == (4, "n")


@component("contract>Started", kind="layer")
class Started(Layer):
    """Starts with a weight that is read once."""

    transient = frozenset({"start", "weights"})

    def __init__(self, units=1, start=None, weights=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = (start, weights)


def test_a_transient_parameter_is_in_no_configuration():
    layer = Started(2, start="a file", weights=object())
    config = layer.get_config()
    assert config["units"] == 2
    assert not Started.transient & config.keys()
    assert Started.from_config(config).first == (None, None)
