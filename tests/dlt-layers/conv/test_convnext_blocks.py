"""ConvNeXt blocks against timm and their properties."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients, whole_call
from dl_techniques.layers.conv.convnext_v1_block import ConvNeXtV1Block
from dl_techniques.layers.conv.convnext_v2_block import ConvNeXtV2Block


def image(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def run(function, *inputs):
    return ops.convert_to_numpy(whole_call(function)(*inputs))


def randomized(block, shape, seed=0):
    """Built, with weights large enough that every part of the block shows in its output."""
    rng = np.random.default_rng(seed)
    block.build(shape)
    block.set_weights([rng.normal(scale=0.5, size=w.shape) for w in block.weights])
    return block


def test_v2_starts_as_v1_without_gamma():
    x = image(2, 3, 4, 4)
    second, first = (
        ConvNeXtV2Block(kernel_size=3, expansion=2),
        ConvNeXtV1Block(kernel_size=3, expansion=2, layer_scale_init=None),
    )
    randomized(first, x.shape)
    second.build(x.shape)
    second.grn.gamma.assign(np.zeros(8))
    for name in ("depthwise", "norm", "expand", "project"):
        getattr(second, name).set_weights(getattr(first, name).get_weights())
    np.testing.assert_allclose(run(second, x), run(first, x), atol=1e-5)


def test_a_zero_gamma_is_the_identity():
    x = image(2, 3, 4, 4)
    block = randomized(ConvNeXtV1Block(kernel_size=3, expansion=2), x.shape)
    block.layer_scale.gamma.assign(np.zeros(4))
    assert np.array_equal(run(block, x), x)


@pytest.mark.parametrize(("cls", "extra"), [(ConvNeXtV1Block, 58), (ConvNeXtV2Block, 65)])
def test_number_of_weights(cls, extra):
    block = cls()
    block.build((None, None, None, 4))
    assert block.count_params() == 8 * 4**2 + extra * 4


@pytest.mark.parametrize("cls", [ConvNeXtV1Block, ConvNeXtV2Block])
def test_a_bias_free_branch_does_not_depend_on_the_scale_of_the_input(cls):
    x = image(1, 3, 4, 4)
    block = randomized(cls(kernel_size=3, expansion=2, use_bias=False), x.shape)
    scaled = np.concatenate([x, 64.0 * x])
    small, large = run(block, scaled) - scaled
    np.testing.assert_allclose(large, small, atol=1e-3)


@pytest.mark.parametrize("cls", [ConvNeXtV1Block, ConvNeXtV2Block])
def test_drop_path_drops_whole_branches(cls):
    x = image(1, 3, 3, 4).repeat(32, 0)
    block = randomized(cls(kernel_size=3, expansion=2, drop_path=0.5), x.shape)
    kept = run(block, x[:1]) - x[:1]
    branches = run(lambda x: block(x, training=True), x) - x
    dropped = np.array([not branch.any() for branch in branches])
    assert 4 < dropped.sum() < 28
    np.testing.assert_allclose(
        branches[~dropped], np.broadcast_to(2 * kept, branches[~dropped].shape), atol=1e-4
    )


def test_unknown_height_and_width():
    inputs = keras.Input((None, None, 4))
    small = {"kernel_size": 3, "expansion": 2}
    outputs = ConvNeXtV2Block(6, strides=2, **small)(ConvNeXtV1Block(**small)(inputs))
    assert outputs.shape == (None, None, None, 6)
    model = keras.Model(inputs, outputs)
    assert model.predict(image(1, 5, 4, 4), verbose=0).shape == (1, 3, 2, 6)


@pytest.mark.parametrize("cls", [ConvNeXtV1Block, ConvNeXtV2Block])
def test_the_shortcut_of_another_shape_is_the_projected_mean(cls):
    x = image(2, 6, 5, 4)
    block = randomized(cls(6, kernel_size=3, expansion=2, strides=2), x.shape)
    block.project.set_weights([np.zeros((12, 6)), np.zeros(6)])
    kernel, bias = block.shortcut_project.get_weights()
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0)), constant_values=np.nan)
    means = np.nanmean(padded.reshape(2, 3, 2, 3, 2, 4), axis=(2, 4))
    np.testing.assert_allclose(run(block, x), means @ kernel + bias, atol=1e-5)


def test_regularizers_reach_every_kernel_and_bias():
    block = ConvNeXtV1Block(
        6,
        kernel_size=3,
        expansion=2,
        strides=2,
        kernel_regularizer=keras.regularizers.L2(1.0),
        bias_regularizer="l1",
    )
    block.build((None, 4, 4, 4))
    assert len(block.losses) == 8


CASES = [
    ({"kernel_size": 7}, 6, (5, 7)),
    ({"kernel_size": 3}, 5, (1, 5)),
    ({"kernel_size": 7, "strides": 2}, 6, (7, 6)),
]


@pytest.mark.oracle
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("config", "channels", "size"), CASES)
def test_equals_timm_with_gradients(version, config, channels, size, timm, verify):
    import torch
    from timm.models.convnext import ConvNeXtBlock

    torch.manual_seed(0)
    peer = ConvNeXtBlock(
        channels,
        channels,
        config["kernel_size"],
        config.get("strides", 1),
        use_grn=version == 2,
        ls_init_value=1.0 if version == 1 else None,
    ).eval()
    for parameter in peer.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape)
    x = image(2, *size, channels)
    theirs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    y_peer = peer(theirs).permute(0, 2, 3, 1)
    g = image(*y_peer.shape, seed=1)
    (y_peer * torch.tensor(g)).sum().backward()

    block = (ConvNeXtV1Block if version == 1 else ConvNeXtV2Block)(**config)
    block.build(x.shape)
    pairs = [
        (block.depthwise.kernel, peer.conv_dw.weight, lambda w: w.transpose(2, 3, 0, 1)),
        (block.depthwise.bias, peer.conv_dw.bias, np.asarray),
        (block.norm.gamma, peer.norm.weight, np.asarray),
        (block.norm.beta, peer.norm.bias, np.asarray),
        (block.expand.kernel, peer.mlp.fc1.weight, np.transpose),
        (block.expand.bias, peer.mlp.fc1.bias, np.asarray),
        (block.project.kernel, peer.mlp.fc2.weight, np.transpose),
        (block.project.bias, peer.mlp.fc2.bias, np.asarray),
    ]
    if version == 1:
        pairs.append((block.layer_scale.gamma, peer.gamma, np.asarray))
    else:
        pairs.append((block.grn.gamma, peer.mlp.grn.weight, np.asarray))
        pairs.append((block.grn.beta, peer.mlp.grn.bias, np.asarray))
    assert len(pairs) == len(block.weights)
    for variable, parameter, convert in pairs:
        variable.assign(convert(parameter.detach().numpy()))
    variables = [variable for variable, _, _ in pairs]
    ours = value_and_gradients(lambda x, g: ops.sum(block(x) * g), variables, [x, g])
    name, oracle = (
        f"dl_techniques>ConvNeXtV{version}Block",
        f"timm {timm.__version__} ConvNeXtBlock",
    )
    settings = {"tolerance": 5e-5}
    verify(name, oracle, ops.convert_to_numpy(block(x)), y_peer, **settings)
    by_x = theirs.grad.permute(0, 2, 3, 1)
    verify(name, oracle, ours.inputs[0], by_x, what="gradient of inputs", **settings)
    for gradient, (_, parameter, convert) in zip(ours.variables, pairs, strict=True):
        expected = convert(parameter.grad.numpy())
        verify(name, oracle, gradient, expected, what="gradient of weights", **settings)
