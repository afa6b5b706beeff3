"""Functional-style subclasses: only the class that is constructed changes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.core import Model, component, load_model, save_model

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


@component("style>Stepping", kind="model")
class Stepping(Model):
    """No constructor: a graph is given to it, and other models derive from it."""

    steps = 0

    def train_step(self, *args):
        type(self).steps += 1
        return super().train_step(*args)


@component("style>Net", kind="model")
class Net(Stepping):
    """Subclass-style."""

    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units)

    def call(self, x):
        return self.dense(x)


@component("style>Fun", kind="model")
class Fun(Model):
    """Functional-style, with a constructor of its own."""

    def __init__(self, width=3, **kwargs):
        inputs = keras.Input((width,))
        super().__init__(inputs, keras.layers.Dense(width)(inputs), **kwargs)
        self.width = width


class Mixin:
    """Somebody else's, with a constructor that takes nothing."""

    def __init__(self):
        self.greeted = 0

    def greet(self):
        return "hello"


@component("style>Before", kind="model")
class Before(Mixin, Fun):
    """The mixin first."""

    def __init__(self, width=3, **kwargs):
        Fun.__init__(self, width, **kwargs)


@component("style>Behind", kind="model")
class Behind(Fun, Mixin):
    """The mixin last."""


@component("style>Diamond", kind="model")
class Diamond(Behind, Stepping):
    """Two models as bases."""


def _round_trip(model, tmp_path):
    path = tmp_path / f"{model.name}.keras"
    save_model(model, path)
    again = load_model(path)
    assert type(again) is type(model)
    ours, theirs = again.predict(X, verbose=0), model.predict(X, verbose=0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    return again


def test_other_models_stay_as_they_are(tmp_path):
    bases = {cls: cls.__bases__ for cls in (Model, Stepping, Net, *Model.__bases__)}
    trained = Net()
    trained.predict(X, verbose=0)
    inputs = keras.Input((3,))
    for made in (Fun(), Stepping(inputs, keras.layers.Dense(1)(inputs)), Diamond()):
        assert isinstance(made, keras.Model)
        assert {cls: cls.__bases__ for cls in bases} == bases
        assert [layer.name for layer in trained.layers] == [trained.dense.name]
        _round_trip(trained, tmp_path)
        Net()(X)


@pytest.mark.parametrize("cls", [Fun, Before, Behind, Diamond])
def test_it_comes_back(cls, tmp_path):
    for width in (3, 3):  # the second instance finds its class changed
        again = _round_trip(cls(width), tmp_path)
        assert again.get_config()["width"] == 3
        assert [type(layer).__name__ for layer in again.layers] == ["InputLayer", "Dense"]


def test_methods_of_its_own_go_first():
    model = Behind()
    assert model.greet() == "hello"
    order = [cls.__name__ for cls in type(model).__mro__]
    assert order.index("Functional") < order.index("Mixin")
    assert order.index("Model") < order.index("Functional")  # that of the contract


def test_a_class_without_a_constructor_keeps_graph_and_methods(tmp_path):
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="relu")(inputs)
    model = Stepping(inputs, keras.layers.Dense(1)(hidden), name="graph")
    again = _round_trip(model, tmp_path)
    assert (again.name, len(again.layers)) == ("graph", 3)
    again.compile("sgd", "mse", run_eagerly=True)
    before = Stepping.steps
    again.fit(X, X[:, :1], verbose=0)
    assert type(again).steps == before + 1
    frozen = Stepping(inputs, hidden, trainable=False)
    assert not _round_trip(frozen, tmp_path).trainable_variables


def test_the_base_itself_gives_a_model_of_keras(tmp_path):
    inputs = keras.Input((3,))
    model = Model(inputs, keras.layers.Dense(2)(inputs))
    assert type(model) is type(keras.Model(inputs, inputs))
    _round_trip(model, tmp_path)


def test_nested_and_shared(tmp_path):
    inputs = keras.Input((3,))
    shared = Fun()
    outputs = shared(Fun()(shared(inputs)))
    again = _round_trip(keras.Model(inputs, outputs), tmp_path)
    assert sum(isinstance(layer, Fun) for layer in again.layers) == 2
    assert len(again.weights) == 4


def test_clones():
    inputs = keras.Input((3,))
    for model in (
        Fun(),
        Stepping(inputs, keras.layers.Dense(1)(inputs)),
        keras.Model(inputs, Fun()(inputs)),
    ):
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        ours, theirs = clone.predict(X, verbose=0), model.predict(X, verbose=0)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
