"""Deployed models against the models that they were made of."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from dl_techniques import weights as W
from dl_techniques.core import load_model, save_model

_spec = importlib.util.spec_from_file_location(
    "deployment_helpers", Path(__file__).with_name("helpers.py")
)
_helpers = importlib.util.module_from_spec(_spec)
sys.modules["deployment_helpers"] = _helpers
_spec.loader.exec_module(_helpers)
draw, kinds, numbers = _helpers.draw, _helpers.kinds, _helpers.numbers
randomize, require_close = _helpers.randomize, _helpers.require_close

L = keras.layers
NORM = L.BatchNormalization


def sequence(shape, *layers):
    return randomize(keras.Sequential([keras.Input(shape), *layers]))


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        ((6, 3), (L.Conv1D, L.DepthwiseConv1D, L.SeparableConv1D, L.Conv1DTranspose)),
        ((5, 6, 3), (L.Conv2D, L.DepthwiseConv2D, L.SeparableConv2D, L.Conv2DTranspose)),
        ((3, 4, 4, 2), (L.Conv3D, L.Conv3DTranspose)),
    ],
    ids=["1d", "2d", "3d"],
)
def test_every_convolution_takes_the_normalization_after_it(shape, layers):
    parts = []
    for i, cls in enumerate(layers):
        settings = {"depth_multiplier": 2} if "Depthwise" in cls.__name__ else {"filters": 4}
        parts += [cls(**settings, kernel_size=3, padding="same", use_bias=bool(i % 2))]
        parts += [NORM(scale=i != 1, center=i != 2), L.ReLU()]
    model = sequence(shape, *parts, L.Dense(3, use_bias=False), NORM(axis=-1))
    deployed = W.deploy(model)
    assert len(deployed.deployment.folded) == len(layers) + 1
    assert "BatchNormalization" not in kinds(deployed)
    x = draw(2, *shape)
    require_close(deployed(x), model(x, training=False))


def test_the_deployed_model_is_a_snapshot_that_can_be_saved(tmp_path):
    model = sequence((5, 5, 2), L.Conv2D(3, 3), NORM(), L.Dropout(0.5), L.Flatten(), L.Dense(2))
    config, before = model.get_config(), [numbers(v) for v in model.weights]
    deployed = W.deploy(model)
    assert model.get_config() == config
    assert all(np.array_equal(a, numbers(b)) for a, b in zip(before, model.weights, strict=True))
    x = draw(2, 5, 5, 2)
    first = numbers(deployed(x))
    for variable in model.weights:
        variable.assign(numbers(variable) + 1.0)
    assert np.array_equal(first, numbers(deployed(x)))
    # Training changes nothing: no noise, no moving averages.
    assert not deployed.trainable_weights
    assert np.array_equal(first, numbers(deployed(x, training=True)))
    assert deployed.deployment.removed == [model.layers[2].name]
    save_model(deployed, tmp_path / "deployed.keras")
    assert np.array_equal(first, numbers(load_model(tmp_path / "deployed.keras")(x)))


def left(deployed, name):
    return [text for text in deployed.deployment.left if text.startswith(f"{name}:")]


def graphs():
    """Name -> a model whose normalization must stay, and why."""
    x = keras.Input((4, 5, 3))

    def model(*outputs):
        return keras.Model(x, [*outputs] if len(outputs) > 1 else outputs[0])

    conv, norm = L.Conv2D(3, 1), NORM(name="norm")
    yield "a shared convolution", model(norm(conv(conv(x)))), "more than once"
    conv, norm = L.Conv2D(3, 1), NORM(name="norm")
    yield "a shared normalization", model(norm(L.Conv2D(3, 1)(norm(conv(x))))), "more than once"
    y = L.Conv2D(3, 1)(x)
    yield "a second reader", model(NORM(name="norm")(y) + y), "read elsewhere"
    y = L.Conv2D(3, 1)(x)
    yield "a second output", model(NORM(name="norm")(y), y), "read elsewhere"
    y = L.Conv2D(3, 1, activation="relu")(x)
    yield "an activation inside", model(NORM(name="norm")(y)), "has an activation"
    y = L.ReLU()(L.Conv2D(3, 1)(x))
    yield "an activation between", model(NORM(name="norm")(y)), "no convolution"
    y = L.Conv2D(3, 1)(x)
    yield "another axis", model(NORM(axis=1, name="norm")(y)), "another axis"
    y = L.Conv2D(3, 1)(x)
    yield "nothing before", model(L.Conv2D(3, 1)(NORM(name="norm")(x))), "at an input"
    conv = type("MyConv", (L.Conv2D,), {})
    yield "a subclass", model(NORM(name="norm")(conv(3, 1)(x))), "no convolution"


def test_a_call_that_asks_for_training_is_folded():
    # At inference Keras overrides what a call in a graph says of training.
    x = keras.Input((4, 5, 3))
    model = keras.Model(x, NORM()(L.Conv2D(3, 1)(x), training=True))
    randomize(model)
    deployed = W.deploy(model)
    assert len(deployed.deployment.folded) == 1
    images = draw(2, 4, 5, 3)
    require_close(deployed(images), model.predict(images, verbose=0))


class Trainer(keras.Model):
    """Normalizes by the batch also at inference."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv, self.norm = L.Conv2D(3, 1), NORM()

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.norm.build((*input_shape[:-1], 3))
        self.built = True

    def call(self, x):
        return self.norm(self.conv(x), training=True)


def test_code_that_trains_at_inference_is_refused():
    model = Trainer()
    model.build((None, 4, 5, 3))
    randomize(model)
    with pytest.raises(ValueError, match="computes something else"):
        W.deploy(model, (None, 4, 5, 3))


@pytest.mark.parametrize(
    ("model", "reason"), [pytest.param(m, why, id=n) for n, m, why in graphs()]
)
def test_what_cannot_be_folded_is_left_and_named(model, reason):
    randomize(model)
    deployed = W.deploy(model)
    assert not deployed.deployment.folded
    (text,) = left(deployed, "norm")
    assert reason in text
    x = draw(2, 4, 5, 3)
    outputs = [keras.tree.flatten(m(x, training=False)) for m in (deployed, model)]
    for ours, theirs in zip(*outputs, strict=True):
        require_close(ours, theirs)


def test_frozen_adapted_and_quantized_layers():
    dense = [L.Dense(4, name=name) for name in ("frozen", "adapted", "quantized")]
    model = sequence((4,), *(part for layer in dense for part in (layer, NORM(), L.ReLU())))
    dense[0].trainable = model.layers[1].trainable = False
    dense[1].enable_lora(2)
    dense[1].lora_kernel_b.assign(draw(2, 4))
    dense[2].quantize("int8")
    deployed = W.deploy(model)
    assert len(deployed.deployment.folded) == 2
    assert any("quantized is quantized" in text for text in deployed.deployment.left)
    assert not any("lora" in v.path for v in deployed.weights)
    x = draw(3, 4)
    require_close(deployed(x), model(x, training=False))


class Block(L.Layer):
    """A block of somebody else's, with a residual."""

    def __init__(self, filters, gain=False, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.gain = filters, gain
        self.conv = L.Conv2D(filters, 3, padding="same", name="conv")
        self.norm = NORM(name="norm")

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))
        if self.gain:
            self.factor = self.add_weight(shape=(), initializer="ones", name="gamma")

    def call(self, inputs, training=None):
        y = keras.ops.relu(self.norm(self.conv(inputs), training=training)) + inputs
        return y * self.factor if self.gain else y

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "gain": self.gain}


class Network(keras.Model):
    """A subclass whose graph nobody knows."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [Block(3), Block(3)]
        self.head = L.Dense(2)

    def call(self, inputs, training=None):
        x = inputs
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(keras.ops.mean(x, (1, 2)))

    def get_config(self):
        return {"name": self.name}


def test_blocks_and_models_of_others_are_unrolled():
    model = Network()
    x = draw(2, 4, 4, 3)
    model(x)
    randomize(model)
    deployed = W.deploy(model, (None, 4, 4, 3))
    assert len(deployed.deployment.folded) == 2
    assert not any(kind in {"Block", "BatchNormalization"} for kind in kinds(deployed))
    require_close(deployed(x), model(x, training=False))
    nested = keras.Sequential([keras.Input((4, 4, 3)), Block(3), keras.Sequential([Block(3)])])
    randomize(nested)
    deployed = W.deploy(nested)
    assert len(deployed.deployment.folded) == 2
    require_close(deployed(x), nested(x, training=False))


def test_a_block_with_variables_of_its_own_stays():
    x = keras.Input((4, 4, 3))
    model = randomize(keras.Model(x, Block(3, gain=True, name="gated")(x)))
    deployed = W.deploy(model)
    assert left(deployed, "gated") == ["gated: it has variables of its own"]
    x = draw(2, 4, 4, 3)
    require_close(deployed(x), model(x, training=False))


class Two(keras.Model):
    """Computes one thing for a known batch and another for an unknown one."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.norm = L.Dense(3), NORM()

    def call(self, inputs, training=None):
        y = self.norm(self.dense(inputs), training=training)
        return y if inputs.shape[0] is None else y + 1.0

    def get_config(self):
        return {"name": self.name}


class Hidden(L.Layer):
    """Uses a variable of a layer that it never calls."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.norm = L.Dense(3, use_bias=False), NORM()

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.norm.build((None, 3))

    def call(self, inputs, training=None):
        return self.norm(keras.ops.matmul(inputs, self.dense.kernel), training=training)


def test_code_that_depends_on_more_than_layers_is_never_silently_wrong():
    model = Two()
    model(draw(2, 4))
    with pytest.raises(ValueError, match="computes something else"):
        W.deploy(model, (None, 4))
    x = keras.Input((4,))
    hidden = randomize(keras.Model(x, Hidden(name="hidden")(x)))
    deployed = W.deploy(hidden)
    assert not deployed.deployment.folded
    assert left(deployed, "hidden") == ["hidden: it uses variables outside of layers"]
    require_close(deployed(draw(2, 4)), hidden(draw(2, 4), training=False))


def test_structures_of_inputs_and_outputs_stay():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    y = NORM()(L.Dense(3)(a)) + L.Dense(3)(b)
    model = randomize(keras.Model({"a": a, "b": b}, {"sum": y, "half": y * 0.5}))
    deployed = W.deploy(model)
    x = {"a": draw(2, 4), "b": draw(2, 4) * 2}
    ours, theirs = deployed(x), model(x, training=False)
    assert ours.keys() == theirs.keys()
    for key in ours:
        require_close(ours[key], theirs[key])


def test_refusals():
    with pytest.raises(TypeError, match="`model`"):
        W.deploy(L.Dense(2))
    with pytest.raises(ValueError, match="built"):
        W.deploy(keras.Sequential([L.Dense(2)]))


def test_blocks_of_the_house(tmp_path):
    layers = pytest.importorskip("dl_techniques.layers")
    x = inputs = keras.Input((8, 8, 8))
    x = layers.UIB(8, 2, start_dw_kernel_size=3, layer_scale_init=0.5, drop_path=0.1)(x)
    x = layers.ConvBlock(8, 3, strides=2)(x)
    x = layers.ConvNeXtV1Block(kernel_size=3, drop_path=0.1)(x)
    x = layers.ConvNeXtV2Block(kernel_size=3)(x)
    x = L.Reshape((16, 8))(x)
    for scale in (0.5, None):
        x = layers.VisionTransformerLayer(2, layer_scale_init=scale, dropout=0.1)(x)
    x = layers.VisionTransformerLayer(2, qk_norm=True, ffn="SwiGLUFFN")(x)
    model = randomize(keras.Model(inputs, x))
    deployed = W.deploy(model)
    assert len(deployed.deployment.joined) == 3
    assert not deployed.deployment.left
    kept = set(kinds(deployed))
    assert not kept & {"BatchNormalization", "LayerScale", "StochasticDepth", "Dropout", "UIB"}
    x = draw(2, 8, 8, 8)
    expected = numbers(model(x, training=False))
    require_close(deployed(x), expected)
    save_model(deployed, tmp_path / "deployed.keras")
    require_close(load_model(tmp_path / "deployed.keras")(x), expected)
    require_close(W.compiled(deployed, (2, 8, 8, 8))(x), expected)


def test_adapted_attention_is_merged():
    layers = pytest.importorskip("dl_techniques.layers")
    x = keras.Input((3, 4))
    block = layers.VisionTransformerLayer(2, layer_scale_init=0.5)
    model = randomize(keras.Model(x, block(x)))
    block.attention.output_projection.enable_lora(2)
    block.attention.query_projection.enable_lora(2)
    block.attention.query_projection.lora_kernel_b.assign(draw(2, 4))
    block.attention.output_projection.lora_kernel_b.assign(draw(2, 4))
    deployed = W.deploy(model)
    assert not deployed.deployment.left
    assert not any("lora" in v.path for v in deployed.weights)
    require_close(deployed(draw(2, 3, 4)), model(draw(2, 3, 4), training=False))
