"""Training continues after saving and loading as without them, which plain files do not allow.

The oracle is the model that stayed in memory.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.core import Layer, component, load_model, save_model
from dl_techniques.core.contract.sublayers import walk
from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.model_state import capture, exact_adapters, restore
from dl_techniques.core.files.rebuilt import differences, known_obstacles
from dl_techniques.core.files.stored_state import parse

RNG = np.random.default_rng(0)
X, Y = (RNG.normal(size=(8, 8)).astype("float32") for _ in range(2))


@component("state>Noisy", kind="layer")
class Noisy(Layer):
    """A part with weights, one that draws, and draws of its own."""

    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units)
        self.out = keras.layers.Dense(units)
        # PyTorch draws dropout without a seed from its global generator.
        self.drop = keras.layers.Dropout(0.5, seed=3)
        self.generators = [keras.random.SeedGenerator(5)]

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.out.build((None, self.units))

    def call(self, x, training=False):
        x = self.drop(self.dense(x), training=training)
        if training:
            x = x + keras.random.normal(x.shape[1:], dtype=x.dtype, seed=self.generators[0])
        return self.out(x)


def make():
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.layers.Dropout(0.3, seed=1)(Noisy()(inputs)))


def reload(model, folder):
    save_model(model, folder / "model.keras")
    return load_model(folder / "model.keras")


def dense(model):
    layers = [visit.layer for visit in walk(model) if not visit.again]
    return [layer for layer in layers if type(layer) is keras.layers.Dense]


def quantize(model):
    dense(model)[0].quantize("int8")


def adapt(model):
    quantize(model)
    for layer in dense(model):
        layer.enable_lora(2)


def freeze(model):
    dense(model)[0].trainable = False


@pytest.mark.parametrize("change", [lambda model: None, quantize, adapt, freeze])
def test_training_goes_on_exactly(change, tmp_path):
    model = make()
    change(model)
    model.compile("adam", "mse", metrics=["mae"])
    options = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.fit(X, Y, **options)
    again = reload(model, tmp_path)
    assert differences(model, again) == []
    histories = [m.fit(X, Y, **options).history for m in (model, again)]
    assert histories[0] == histories[1]
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert capture(again) == capture(model)


def test_mixed_precision_goes_on_exactly(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")  # with a scale of the loss that moves
    try:
        model = make()
        model.compile(
            keras.optimizers.LossScaleOptimizer(
                keras.optimizers.SGD(), initial_scale=4.0, dynamic_growth_steps=1
            ),
            "mse",
        )
        model.fit(X, Y, batch_size=4, verbose=0)
        again = reload(model, tmp_path)
        scales = [
            float(keras.ops.convert_to_numpy(m.optimizer.dynamic_scale)) for m in (model, again)
        ]
        assert scales[0] == scales[1] > 4
        losses = [m.fit(X, Y, shuffle=False, verbose=0).history["loss"] for m in (model, again)]
        assert losses[0] == losses[1]
    finally:
        keras.config.set_dtype_policy(before)


def test_autocast_comes_back(tmp_path):
    inputs = keras.Input((8,))
    layer = keras.layers.Dense(2, dtype="mixed_bfloat16", autocast=False)
    model = keras.Model(inputs, layer(inputs))
    assert reload(model, tmp_path).layers[1].autocast is False


def test_saving_leaves_layers_as_they_were():
    model = make()
    adapt(model)
    before = [set(vars(layer)) for layer in dense(model)]
    with exact_adapters(model):
        pass
    assert [set(vars(layer)) for layer in dense(model)] == before


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([], "not an object"),
        ({"a\nb": {}}, "path"),
        ({"a": []}, "something unknown"),
        ({"a": {"code": 1}}, "something unknown"),
        ({"a": {"autocast": True}}, "`autocast`"),
        ({"a": {"seeds": []}}, "`seeds`"),
        ({"a": {"seeds": {"s": [1]}}}, "two integers"),
        ({"a": {"seeds": {"s": [1, 2.5]}}}, "two integers"),
        ({"a": {"seeds": {"s": [True, 1]}}}, "two integers"),
        ({"a": {"seeds": {"s": [1 << 64, 1]}}}, "two integers"),
    ],
)
def test_a_strange_state_is_refused(layers, says):
    with pytest.raises(ModelFileError, match=says):
        parse({"format": 1, "layers": layers}, "the file")


@pytest.mark.parametrize(
    "document", [None, {}, {"format": 2, "layers": {}}, {"format": True, "layers": {}}]
)
def test_another_format_is_refused(document):
    with pytest.raises(ModelFileError, match="format"):
        parse(document, "the file")


@pytest.mark.parametrize("layers", [{"no/where": {}}, {"layers/1": {"seeds": {"no": [1, 2]}}}])
def test_the_state_of_another_model_is_refused(layers):
    with pytest.raises(ValueError, match=r"the (model|layer at .*) has no"):
        restore(make(), parse({"format": 1, "layers": layers}, "the file"))


def test_differences_are_reported_by_layer():
    def pair(change):
        model, again = make(), make()
        change(model)
        return differences(model, again)

    assert pair(lambda model: None) == []
    assert "comes back trainable" in pair(freeze)[0]
    assert "at 'layers/1/dense'" in pair(freeze)[0]
    assert "'int8_from_float32' and comes back with 'float32'" in pair(quantize)[0]
    assert "4 variables and comes back with 2" in pair(lambda m: dense(m)[1].enable_lora(2))[0]

    def freeze_variable(model):
        dense(model)[0].kernel.trainable = False

    assert "The variable 'kernel'" in pair(freeze_variable)[0]


def _two(layers, outer):
    """Two nested models and a layer after them."""
    one, two = keras.Input((8,)), keras.Input((8,))
    first, second = keras.Model(one, layers[0](one)), keras.Model(two, layers[1](two))
    inputs = keras.Input((8,))
    return keras.Model(inputs, outer(second(first(inputs))))


def test_a_layer_that_is_not_shared_any_more_is_named():
    shared = keras.layers.Dense(8, name="shared")
    model = _two([shared, shared], keras.layers.Dense(8))
    again = _two([keras.layers.Dense(8) for _ in range(2)], keras.layers.Dense(8))
    (text,) = differences(model, again)
    assert "'shared'" in text
    assert text.endswith("comes back as a layer of its own.")
    (why,) = known_obstacles(model)
    assert why.startswith("The layer 'shared' (Dense) stands in the models")
    assert known_obstacles(again) == []
    (text,) = differences(again, model)
    assert "comes back shared with" in text


def _attending():
    x = keras.Input((5, 8))
    attended = keras.layers.MultiHeadAttention(2, 4)(x, x)
    return keras.Model(x, keras.layers.Dense(3)(attended))


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_quantized_parts_of_a_layer_of_keras_are_named_and_the_advice_helps(tmp_path):
    path, x = tmp_path / "model.keras", np.ones((2, 5, 8), "float32")
    model = _attending()
    model.quantize("int8")
    with pytest.raises(ModelFileError, match=r"\(MultiHeadAttention\) are quantized, such as"):
        save_model(model, path)
    assert not path.exists()
    model = _attending()
    model.layers[-1].quantize("int8")
    save_model(model, path)
    ours, theirs = (keras.ops.convert_to_numpy(m(x)) for m in (load_model(path), model))
    np.testing.assert_array_equal(ours, theirs)


def test_missing_and_new_state_is_named():
    inputs = keras.Input((8,))
    small, large = (
        keras.Sequential([keras.Input((8,)), *(keras.layers.Dense(8) for _ in range(n))])
        for n in (1, 2)
    )
    assert "is missing" in differences(large, small)[0]
    assert "has been added" in differences(small, large)[0]
    other = keras.Model(inputs, keras.layers.ReLU()(inputs))
    plain = keras.Model(inputs, keras.layers.Dense(8)(inputs))
    assert "comes back as a ReLU" in differences(plain, other)[0]


@pytest.mark.parametrize("seed", [(2**64 - 1, -5), (2**63, 1), (-(2**63), 3)])
def test_seeds_keep_their_lower_bits(seed):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
    layers = {"layers/0": {"seeds": {"seed_generator": list(seed)}}}
    state = parse({"format": 1, "layers": layers}, "the file")
    restore(model, state)
    found = keras.ops.convert_to_numpy(model.layers[0].seed_generator.state)
    assert [int(value) % 2**32 for value in found] == [value % 2**32 for value in seed]
