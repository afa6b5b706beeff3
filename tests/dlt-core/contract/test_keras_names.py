"""Parameters that bear a name which Keras uses itself: the value that was given is stored."""

from __future__ import annotations

import ast
import copy
import inspect
import pathlib

import keras
import numpy as np
import pytest

from dl_techniques.core import (
    Initializer,
    Layer,
    Model,
    Regularizer,
    component,
    load_model,
    save_model,
)
from dl_techniques.core.contract.config import _SET_BY_KERAS


@component("names>Reader", kind="layer")
class Reader(Layer):
    """Its `path` is none of Keras's; `inputs` and `loss` are."""

    def __init__(self, path="a.txt", inputs=2, loss=(), **kwargs):
        super().__init__(**kwargs)
        self.where = path
        self.count = inputs
        self.terms = loss

    def call(self, x):
        return x


@component("names>LongReader", kind="layer")
class LongReader(Reader):
    """Takes what its base takes."""

    def __init__(self, compute_dtype="deep", **kwargs):
        super().__init__(**kwargs)
        self.depth = compute_dtype


@component("names>Backbone", kind="model")
class Backbone(Model):
    """Functional-style: `input_shape` becomes a property when it is constructed."""

    def __init__(self, input_shape=(3,), output_shape=2, **kwargs):
        inputs = keras.Input(input_shape)
        super().__init__(inputs, keras.layers.Dense(output_shape)(inputs), **kwargs)


@component("names>Chooser", kind="model")
class Chooser(Model):
    """`compile` overwrites `loss` and `optimizer`."""

    def __init__(self, loss="huber", optimizer="lion", **kwargs):
        super().__init__(**kwargs)
        self.loss = loss
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize("cls", [Reader, LongReader])
@pytest.mark.parametrize("given", [{}, {"path": "b.txt"}, {"inputs": 5, "loss": ("mae", "mse")}])
def test_given_arguments_are_stored(cls, given):
    layer = cls(**given)
    expected = {"path": "a.txt", "inputs": 2, "loss": (), **given}
    layer(np.ones((1, 2), "float32"))
    config = layer.get_config()
    assert {key: config[key] for key in expected} == expected
    again = cls.from_config(config)
    assert (again.where, again.count, tuple(again.terms)) == tuple(expected.values())


def test_positional_arguments_and_copies_count():
    layer = copy.deepcopy(Reader("c.txt", 7))
    assert layer.get_config()["path"] == "c.txt"
    assert LongReader("flat", path="d.txt").get_config()["path"] == "d.txt"
    assert LongReader("flat").get_config()["compute_dtype"] == "flat"


def test_a_list_that_changes_later_is_kept_as_it_was():
    given = ["mse"]
    layer = Reader(loss=given)
    given.append("mae")
    assert layer.get_config()["loss"] == ["mse"]


def test_compile_does_not_change_a_configuration(tmp_path):
    model = Chooser("mae")
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 3), "float32"), np.ones((2, 1), "float32"), verbose=0)
    assert (model.get_config()["loss"], model.get_config()["optimizer"]) == ("mae", "lion")
    save_model(model, tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").get_config() == model.get_config()


def test_a_functional_style_model_comes_back(tmp_path):
    model = Backbone((5,), output_shape=4)
    assert model.get_config()["input_shape"] == (5,)
    save_model(model, tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras")
    assert again.input_shape == (None, 5)
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])


def test_without_its_constructor_the_parameter_is_named():
    layer = Reader.__new__(Reader, "b", 1, 2, "one too many")
    keras.layers.Layer.__init__(layer)
    with pytest.raises(TypeError, match="parameter `path`"):
        layer.get_config()


def test_autocast_is_stored_where_it_was_given():
    assert Reader(autocast=False).get_config()["autocast"] is False
    assert Reader.from_config(Reader(autocast=False).get_config()).autocast is False
    assert "autocast" not in Reader().get_config()


@pytest.mark.parametrize("base", [Initializer, Regularizer])
def test_a_class_without_constructor_takes_no_arguments(base):
    class Plain(base):
        """Nothing."""

    with pytest.raises(TypeError, match="Plain\\(\\) takes no arguments"):
        Plain(1)
    assert Plain().get_config() == {}


def _assigned(cls):
    """Public attributes that the methods of Keras's classes assign to instances."""
    for base in cls.__mro__:
        if base.__module__.startswith("keras."):
            tree = ast.parse(pathlib.Path(inspect.getfile(base)).read_text("utf-8"))
            (body,) = (n for n in tree.body if getattr(n, "name", None) == base.__name__)
            yield from (node.attr for node in ast.walk(body) if _is_assigned_to_self(node))


def _is_assigned_to_self(node):
    stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    return stored and isinstance(node.value, ast.Name) and node.value.id == "self"


def test_each_name_that_keras_gives_to_instances_is_known():
    """The oracle is the source of the Keras that runs."""
    tensor = keras.Input((1,))
    functional = keras.Model(tensor, tensor)
    classes = [keras.layers.Layer, keras.Model, type(functional), keras.Sequential]
    names = {name for cls in classes for name in _assigned(cls) if not name.startswith("_")}
    on_classes = {name for cls in (keras.layers.Layer, keras.Model) for name in dir(cls)}
    own = {"name", "activity_regularizer"}  # stored by Keras, under these names
    own |= {"activation"}  # quantized layers assign it, after they have read their own
    assert names - on_classes - own <= _SET_BY_KERAS
    properties = {name for cls in classes[2:] for name in dir(cls) if not name.startswith("_")}
    assert properties - on_classes <= _SET_BY_KERAS
