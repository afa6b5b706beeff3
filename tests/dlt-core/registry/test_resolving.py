"""The resolver behind `norm=`, `activation=`, `ffn=`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from dl_techniques.core import Layer, component
from dl_techniques.core.errors import ComponentImportError
from dl_techniques.core.parts import accepts, resolve
from dl_techniques.core.registry.registry import registry

LAYER = '''
from dl_techniques.core import Layer, component
@component({id!r}, kind="layer", aliases={aliases!r})
class {name}(Layer):
    """Scales its input."""
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
    def call(self, inputs):
        return inputs * self.factor
'''


@component("resolving_test>Block", kind="layer")
class Block(Layer):
    """Two norms and an activation, chosen by the user: the pattern that the docs show."""

    def __init__(self, norm: Any = "LayerNormalization", activation: Any = "gelu", **kwargs: Any):
        super().__init__(**kwargs)
        self.norm = norm
        self.activation = activation
        part = {"kind": "layer", "argument": "norm", "fresh": True, "epsilon": 1e-6}
        self.first = resolve(norm, **part)
        self.second = resolve(norm, **part)
        self.function = resolve(activation, kind="activation")

    def build(self, input_shape: Any) -> None:
        self.first.build(input_shape)
        self.second.build(input_shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.second(self.function(self.first(inputs)))


@pytest.fixture
def scale(site: Any, tools: Any) -> Any:
    """The identifier of an installed, not yet imported layer."""
    package, name = site.name("scales"), f"Scale{site.serial}"
    identifier, alias = f"{package}>{name}", f"{package}>Old{name}"
    site.package(package, {"scale": LAYER.format(id=identifier, name=name, aliases=(alias,))})
    record = tools.record(identifier, f"{package}.scale:{name}", aliases=[alias])
    site.manifest(package, [{**record, "kind": "layer"}])
    site.metadata(package, entry_points=tools.components_group(package))
    registry.refresh()
    yield identifier
    registry.refresh()


def test_texts(scale: str) -> None:
    package, _, name = scale.partition(">")
    for text in (scale, name, f"{package}>Old{name}"):
        made = resolve(text, kind="layer", factor=3.0, epsilon=1.0)
        assert type(made).__name__ == name
        assert made.factor == 3.0
        assert resolve(text, kind="layer") is not made


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("layer", "LayerNormalization", keras.layers.LayerNormalization),
        ("initializer", "glorot_uniform", keras.initializers.GlorotUniform),
        ("initializer", "GlorotUniform", keras.initializers.GlorotUniform),
        ("regularizer", "l2", keras.regularizers.L2),
        ("constraint", "non_neg", keras.constraints.NonNeg),
        ("loss", "MeanSquaredError", keras.losses.MeanSquaredError),
        ("metric", "MeanSquaredError", keras.metrics.MeanSquaredError),
        ("optimizer", "adam", keras.optimizers.Adam),
    ],
)
def test_names_of_keras(kind: str, text: str, expected: type) -> None:
    made = resolve(text, kind=kind)
    assert isinstance(made, expected)
    assert resolve(text, kind=kind) is not made


def test_functions_of_keras() -> None:
    assert resolve("gelu", kind="activation") is keras.activations.gelu
    assert resolve("mse", kind="loss") is keras.losses.mean_squared_error
    for text in ("get", "serialize", "Layer"):
        with pytest.raises(ValueError, match="`activation`"):
            resolve(text, kind="activation")


def test_the_dictionary_of_custom_objects_takes_no_ones_place() -> None:
    """Keras's getters look there first; a plugin that writes into it changes nothing here."""

    class Evil(keras.initializers.Initializer):
        pass

    names = ("glorot_uniform", "GlorotUniform", "no_such_initializer")
    with keras.saving.custom_object_scope(dict.fromkeys(names, Evil)):
        for name in names:
            assert isinstance(keras.initializers.get(name), Evil)
        for name in names[:2]:
            made = resolve(name, kind="initializer")
            assert type(made) is keras.initializers.GlorotUniform
        with pytest.raises(ValueError, match="`kernel`"):
            resolve(names[2], kind="initializer", argument="kernel")


def test_defaults_apply_only_where_they_are_accepted() -> None:
    assert resolve("LayerNormalization", kind="layer", epsilon=1e-6, units=7).epsilon == 1e-6
    assert resolve("Dropout", kind="layer", rate=0.25, epsilon=1e-6, name="d").name == "d"
    assert resolve(keras.layers.Dropout, kind="layer", rate=0.25).rate == 0.25
    given = keras.layers.LayerNormalization(epsilon=1e-2)
    assert resolve(given, kind="layer", epsilon=1e-6).epsilon == 1e-2
    config = keras.saving.serialize_keras_object(given)
    assert resolve(config, kind="layer", epsilon=1e-6).epsilon == 1e-2
    assert accepts(Block, "norm")
    assert accepts(Block, "name")
    assert not accepts(Block, "epsilon")
    assert accepts(keras.activations.gelu, "approximate")
    assert not accepts(lambda x, /: x, "x")
    assert not accepts(lambda **rest: rest, "x")  # it takes anything, but knows nothing of it


def test_configurations(scale: str) -> None:
    package, _, name = scale.partition(">")
    short = {"class_name": name, "config": {"factor": 2.0}}
    made = resolve(short, kind="layer")
    assert made.factor == 2.0
    assert resolve(short, kind="layer") is not made
    whole = keras.saving.serialize_keras_object(made)
    assert whole["registered_name"] == scale
    assert resolve(whole, kind="layer").factor == 2.0
    renamed = {**whole, "registered_name": f"{package}>Old{name}"}
    assert resolve(renamed, kind="layer").factor == 2.0
    assert resolve({"class_name": "Dense", "config": {"units": 3}}, kind="layer").units == 3
    wrapped = {**whole, "config": {**whole["config"], "factor": [{**whole}, 2]}}
    assert len(resolve(wrapped, kind="layer").factor) == 2
    nested = {"class_name": "TimeDistributed", "config": {"layer": whole}}
    assert resolve(nested, kind="layer").layer.factor == 2.0
    function = keras.saving.serialize_keras_object(keras.activations.silu)
    assert resolve(function, kind="activation") is keras.activations.silu
    assert resolve({"class_name": "silu"}, kind="activation") is keras.activations.silu


def test_a_configuration_imports_its_component(scale: str, site: Any) -> None:
    """In a fresh process nothing is registered yet: the registry brings it."""
    name = scale.partition(">")[2]
    config = {
        "module": f"{scale.partition('>')[0]}.scale",
        "class_name": name,
        "config": {"factor": 5.0},
        "registered_name": scale,
    }
    assert keras.saving.get_registered_object(scale) is None
    wrapped = {
        "module": "keras.layers",
        "class_name": "TimeDistributed",
        "config": {"layer": config},
        "registered_name": None,
    }
    assert resolve(wrapped, kind="layer").layer.factor == 5.0


def test_instances_classes_callables_and_none() -> None:
    layer = keras.layers.ReLU()
    for kind in ("layer", "activation"):
        assert resolve(layer, kind=kind) is layer
        assert isinstance(resolve(keras.layers.ReLU, kind=kind), keras.layers.ReLU)
    assert resolve(len, kind="activation") is len
    assert resolve(None, kind="layer") is None
    assert resolve(None, kind="activation") is keras.activations.linear
    assert resolve(keras.ops.tanh, kind="activation") is keras.ops.tanh


def test_fresh_copies() -> None:
    layer = keras.layers.LayerNormalization(epsilon=0.5)
    copies = [resolve(layer, kind="layer", fresh=True) for _ in range(2)]
    assert len({id(layer), *map(id, copies)}) == 3
    assert [copy.epsilon for copy in copies] == [0.5, 0.5]
    assert len({layer.name, *(copy.name for copy in copies)}) == 3
    assert resolve(len, kind="activation", fresh=True) is len
    layer.build((None, 3))
    with pytest.raises(ValueError, match="`norm` is used more than once"):
        resolve(layer, kind="layer", argument="norm", fresh=True)


@pytest.mark.parametrize(
    ("given", "error", "word"),
    [
        (3, TypeError, "norm=3"),
        ([], TypeError, "norm=[]"),
        (int, TypeError, "int"),
        (object(), TypeError, "object"),
        ("LayerNormalisation", ValueError, "LayerNormalization"),
        ("nobody>Nothing", ValueError, "nobody>Nothing"),
        ("dl_techniques>WarmupSchedule", ValueError, "dlt-train"),
        ("", ValueError, "norm=''"),
        ("Dense", TypeError, "units"),
        ({}, ValueError, "`class_name`"),
        ({"class_name": 7}, ValueError, "`class_name`"),
        ({"class_name": "Nothing", "config": {}}, ValueError, "Nothing"),
        ({"class_name": "Dense", "config": 7}, ValueError, "`config`"),
        (
            {"module": "m", "class_name": "A", "config": {}, "registered_name": "nobody>A"},
            ValueError,
            "No installed distribution declares",
        ),
        ({"module": "os", "class_name": "system", "config": {}}, ValueError, "system"),
    ],
)
def test_refusals_name_the_argument(given: Any, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=r"`norm`") as refusal:
        resolve(given, kind="layer", argument="norm")
    assert word in str(refusal.value)


def test_invalid_arguments_of_the_call() -> None:
    with pytest.raises(ValueError, match="`kind` must be one of layer"):
        resolve("x", kind="spell")
    with pytest.raises(ValueError, match="`layer` must be"):
        resolve("Nothing", kind="layer")


def test_a_component_of_another_kind_is_no_answer(site: Any) -> None:
    cost = site.healthy("costs", f"Cost{site.serial}", kind="loss")
    registry.refresh()
    with pytest.raises(ValueError, match=f"There is the loss '{cost}'"):
        resolve(cost, kind="layer", argument="norm")
    assert resolve(cost, kind="loss")("x") == "x"


def test_a_component_that_fails_says_for_which_argument(site: Any, tools: Any) -> None:
    broken = site.healthy("broken", kind="activation")
    tools.write(site.folder / broken.partition(">")[0] / "gate.py", "raise ImportError('no')")
    registry.refresh()
    with pytest.raises(ComponentImportError) as refusal:
        resolve(broken, kind="activation", argument="act")
    assert refusal.value.__notes__ == ["It was given as `act`."]


@pytest.mark.parametrize(
    "norm",
    [
        "LayerNormalization",
        {"class_name": "LayerNormalization", "config": {"epsilon": 0.5}},
        keras.layers.UnitNormalization,
        keras.layers.RMSNormalization
        if hasattr(keras.layers, "RMSNormalization")
        else keras.layers.BatchNormalization,
    ],
    ids=["text", "config", "class", "other_class"],
)
def test_a_layer_that_uses_it_keeps_its_configuration(norm: Any) -> None:
    if isinstance(norm, type):
        norm = norm()
    block = Block(norm=norm, activation="relu")
    x = np.linspace(-1, 1, 12).reshape(2, 6).astype("float32")
    y = np.asarray(keras.ops.convert_to_numpy(block(x)))
    assert block.first is not block.second
    config = block.get_config()
    again = Block.from_config(config)
    assert again.get_config() == config or not isinstance(norm, str)
    assert again.first is not again.second
    assert len(again.weights) in {0, len(block.weights)}
    np.testing.assert_allclose(keras.ops.convert_to_numpy(again(x)), y, rtol=1e-6)
    assert len(again.weights) == len(block.weights)


def test_fresh_copies_of_a_configuration_have_names_of_their_own() -> None:
    config = keras.saving.serialize_keras_object(keras.layers.LayerNormalization())
    first, second = (resolve(config, kind="layer", fresh=True) for _ in range(2))
    assert first.name != second.name


def test_a_class_is_stored_as_the_name_that_it_is_found_by() -> None:
    block = Chooses(keras.layers.LayerNormalization)
    assert block.get_config()["norm"] == "LayerNormalization"
    with pytest.raises(TypeError, match="cannot be stored"):
        Chooses(type("Stray", (keras.layers.Layer,), {})).get_config()


class Chooses(Layer):
    def __init__(self, norm: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm = norm
