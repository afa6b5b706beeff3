"""UIB against timm's UniversalInvertedResidual and its properties."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.conv.universal_inverted_bottleneck import UIB, rounded_to_eights

INSTANCES = {
    "inverted_bottleneck": (0, 5),
    "convnext_like": (3, 0),
    "extra_dw": (5, 3),
    "ffn": (0, 0),
}


def image(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("width", "rounded"), [(1, 8), (11, 16), (12, 16), (18, 24), (20, 24), (26, 24), (96, 96)]
)
def test_hidden_widths_are_rounded(width, rounded):
    assert rounded_to_eights(width) == rounded


@pytest.mark.parametrize("instance", INSTANCES)
def test_the_input_is_added_exactly_when_shapes_are_equal(instance):
    start, middle = INSTANCES[instance]
    x = image(2, 5, 6, 4)
    for filters in (4, 8):
        block = UIB(filters, 2, start, middle)
        block.build(x.shape)
        block.project_norm.gamma.assign(np.zeros(filters))
        expected = x if filters == 4 else np.zeros((2, 5, 6, 8))
        assert np.array_equal(ops.convert_to_numpy(block(x)), expected)


@pytest.mark.parametrize(("on_middle", "middle_sees"), [(True, (7, 6)), (False, (4, 3))])
def test_who_makes_the_step(on_middle, middle_sees):
    block = UIB(4, 2, 3, 3, strides=2, use_middle_dw_stride=on_middle)
    block.build((None, 7, 6, 4))
    assert (block.start_dw.strides, block.middle_dw.strides) == ((1, 2) if on_middle else (2, 1))
    assert tuple(block.start_dw(image(1, 7, 6, 4)).shape)[1:3] == middle_sees


def test_unknown_height_and_width_and_a_layer_as_activation():
    inputs = keras.Input((None, None, 4))
    outputs = UIB(6, 2, 3, 3, strides=2, activation=keras.layers.PReLU(shared_axes=[1, 2]))(inputs)
    assert outputs.shape == (None, None, None, 6)
    model = keras.Model(inputs, outputs)
    assert len([w for w in model.trainable_weights if "alpha" in w.path]) == 2
    assert model.predict(image(1, 7, 4, 4), verbose=0).shape == (1, 4, 2, 6)


def mapped(block, peer, rng):
    """Randomize the peer's normalizations; yield (variable, parameter, conversion)."""
    import torch

    steps = [
        (block.start_dw, block.start_norm, peer.dw_start),
        (block.expand, block.expand_norm, peer.pw_exp),
        (block.middle_dw, block.middle_norm, peer.dw_mid),
        (block.project, block.project_norm, peer.pw_proj),
    ]
    for layer, norm, step in steps:
        if layer is None:
            continue
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = rng.uniform(0.5, 1.5, norm.gamma.shape).astype("float32")
            getattr(step.bn, name).data = torch.tensor(value)
        depthwise = len(layer.kernel.shape) == 4
        yield (
            layer.kernel,
            step.conv.weight,
            (lambda w: w.transpose(2, 3, 0, 1)) if depthwise else (lambda w: w[:, :, 0, 0].T),
        )
        yield norm.gamma, step.bn.weight, np.asarray
        yield norm.beta, step.bn.bias, np.asarray
        norm.moving_mean.assign(step.bn.running_mean.numpy())
        norm.moving_variance.assign(step.bn.running_var.numpy())


@pytest.mark.oracle
@pytest.mark.parametrize("instance", INSTANCES)
@pytest.mark.parametrize(
    ("strides", "size", "filters", "training"),
    [(1, (5, 7), 6, False), (2, (6, 8), 10, False), (2, (7, 5), 6, True)],
)
def test_equals_timm_with_gradients(instance, strides, size, filters, training, timm, verify):
    import torch
    from timm.models._efficientnet_blocks import UniversalInvertedResidual

    start, middle = INSTANCES[instance]
    if instance == "ffn":
        strides = 1
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    peer = UniversalInvertedResidual(
        6, filters, start, middle, stride=strides, exp_ratio=3.0, layer_scale_init_value=None
    ).train(training)
    x = image(3, *size, 6)
    block = UIB(filters, 3.0, start, middle, strides, norm_epsilon=1e-5)
    block.build(x.shape)
    pairs = list(mapped(block, peer, rng))
    for variable, parameter, convert in pairs:
        variable.assign(convert(parameter.detach().numpy()))
    assert len(pairs) == len(block.trainable_variables)
    theirs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    y_peer = peer(theirs).permute(0, 2, 3, 1)
    g = image(*y_peer.shape, seed=1)
    (y_peer * torch.tensor(g)).sum().backward()
    variables = [variable for variable, _, _ in pairs]
    y = ops.convert_to_numpy(block(x, training=training))
    ours = value_and_gradients(
        lambda x, g: ops.sum(block(x, training=training) * g), variables, [x, g]
    )
    oracle = f"timm {timm.__version__} UniversalInvertedResidual"
    mode = " in training" if training else ""
    settings = {"tolerance": 1e-4}
    verify("dl_techniques>UIB", oracle, y, y_peer, what=f"forward{mode}", **settings)
    by_x = theirs.grad.permute(0, 2, 3, 1)
    verify(
        "dl_techniques>UIB",
        oracle,
        ours.inputs[0],
        by_x,
        what=f"gradient of inputs{mode}",
        **settings,
    )
    expected = [convert(parameter.grad.numpy()) for _, parameter, convert in pairs]
    largest = max(np.abs(gradient).max() for gradient in expected)
    for mine, gradient in zip(ours.variables, expected, strict=True):
        if np.abs(gradient).max() < 1e-6 * largest:
            # Zero by mathematics: the next norm removes an offset.
            assert np.abs(mine).max() < 1e-5 * largest
            continue
        verify(
            "dl_techniques>UIB",
            oracle,
            mine,
            gradient,
            what=f"gradient of weights{mode}",
            **settings,
        )


@pytest.mark.parametrize("expansion_ratio", [None, 2])
@pytest.mark.parametrize("strides", [1, 2])
def test_without_expansion_and_with_same_padding(expansion_ratio, strides, verify):
    """Keras's own layers on the same weights, statistics drawn at random."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 6, 8, 8)).astype("float32")
    layer = UIB(4, expansion_ratio, strides=strides, padding="same", activation="relu6")
    layer.build(x.shape)
    layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    layers = keras.layers
    steps = [layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)]
    steps += [layers.BatchNormalization(), layers.ReLU(6.0)]
    if expansion_ratio:
        widened = [layers.Conv2D(16, 1, use_bias=False), layers.BatchNormalization()]
        steps = [*widened, layers.ReLU(6.0), *steps]
    steps += [layers.Conv2D(4, 1, use_bias=False), layers.BatchNormalization()]
    peer = keras.Sequential([keras.Input(x.shape[1:]), *steps])
    parts = (layer.expand, layer.expand_norm, layer.middle_dw, layer.middle_norm)
    parts = [part for part in (*parts, layer.project, layer.project_norm) if part is not None]
    arrays = [array for part in parts for array in part.get_weights()]
    shaped = [a.reshape(w.shape) for a, w in zip(arrays, peer.get_weights(), strict=True)]
    peer.set_weights(shaped)
    oracle = f"keras.layers {keras.__version__}"
    ours, theirs = (keras.ops.convert_to_numpy(m(x, training=False)) for m in (layer, peer))
    verify("dl_techniques>UIB", oracle, ours, theirs)
