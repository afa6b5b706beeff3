"""ConvBlock, Bottleneck, C3kBlock and C3k2Block against torch compositions and their properties."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.conv.depthwise import DepthwiseConvolution
from dl_techniques.layers.yolo.bottleneck import Bottleneck
from dl_techniques.layers.yolo.c3k2_block import C3k2Block
from dl_techniques.layers.yolo.c3k_block import C3kBlock
from dl_techniques.layers.yolo.conv_block import ConvBlock

CONVOLUTIONS = {
    "pointwise": ({"filters": 5}, 4, (5, 3)),
    "strided_even": ({"filters": 6, "kernel_size": 3, "strides": 2}, 4, (8, 6)),
    "strided_odd": ({"filters": 6, "kernel_size": 5, "strides": 2}, 4, (7, 5)),
    "strided_pointwise": ({"filters": 6, "strides": 2}, 4, (7, 6)),
    "grouped": ({"filters": 6, "kernel_size": 3, "groups": 2}, 4, (5, 6)),
    "dilated": ({"filters": 3, "kernel_size": 3, "dilation_rate": 2}, 4, (5, 7)),
    "depthwise": ({"filters": 4, "kernel_size": 7, "groups": 4}, 4, (5, 6)),
    "depthwise_strided": ({"filters": 4, "kernel_size": 3, "strides": 2, "groups": 4}, 4, (6, 6)),
}


@pytest.mark.oracle
@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("training", [False, True])
def test_conv_block_equals_torch(case, training, peers, compare):
    config, channels, image = CONVOLUTIONS[case]
    short = {"kernel_size": "k", "strides": "s", "groups": "g", "dilation_rate": "d"}
    arguments = {short[k]: v for k, v in config.items() if k in short}
    peer = peers.Conv(channels, config["filters"], **arguments)
    compare(ConvBlock(**config), peer, [(3, *image, channels)], training=training)


@pytest.mark.oracle
@pytest.mark.parametrize("training", [False, True])
def test_bottleneck_equals_torch(training, peers, compare):
    shape = [(3, 5, 6, 8)]
    compare(Bottleneck(8), peers.Bottleneck(8, 8), shape, training=training)
    compare(Bottleneck(8, shortcut=False), peers.Bottleneck(8, 8, False), shape, training=training)
    compare(
        Bottleneck(12, groups=3, kernel_sizes=(1, 5), expansion=0.75),
        peers.Bottleneck(8, 12, True, 3, (1, 5), 0.75),
        shape,
        training=training,
    )


@pytest.mark.oracle
def test_c3k_block_equals_torch(peers, compare):
    compare(C3kBlock(8), peers.C3k(6, 8), [(3, 5, 3, 6)], training=True)
    ours = C3kBlock(8, n=1, shortcut=False, groups=2, kernel_size=5)
    compare(ours, peers.C3k(6, 8, 1, False, 2, 5), [(3, 5, 3, 6)])


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("n", "c3k", "shortcut", "training"),
    [(1, False, True, True), (3, False, False, False), (2, True, True, False)],
)
def test_c3k2_block_equals_torch(n, c3k, shortcut, training, peers, compare):
    ours = C3k2Block(16, n=n, c3k=c3k, shortcut=shortcut)
    peer = peers.C3k2(6, 16, n, c3k, shortcut=shortcut)
    compare(ours, peer, [(3, 5, 7, 6)], training=training)


def test_a_conv_block_at_its_start_is_a_convolution_and_silu():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype("float32")
    block = ConvBlock(2, 3, norm_epsilon=0.25)
    y = block(x)
    plain = keras.ops.conv(x, block.conv.kernel, padding="same") / 1.25**0.5
    expected = ops.convert_to_numpy(plain * ops.sigmoid(plain))
    np.testing.assert_allclose(ops.convert_to_numpy(y), expected, atol=1e-5)


def test_the_norm_moves_by_its_momentum():
    x = np.random.default_rng(0).normal(loc=2, size=(4, 4, 5, 3)).astype("float32")
    block = ConvBlock(2, norm_momentum=0.75)
    before = ops.convert_to_numpy(block.conv(x)) if block.built else None
    block(x, training=True)
    before = ops.convert_to_numpy(block.conv(x)).mean((0, 1, 2))
    moved = ops.convert_to_numpy(block.norm.moving_mean)
    np.testing.assert_allclose(moved, 0.25 * before, rtol=1e-4)


def test_one_group_a_channel_is_the_fast_depthwise_form():
    block = ConvBlock(4, 7, groups=4)
    block.build((None, None, None, 4))
    assert isinstance(block.conv, DepthwiseConvolution)
    block = ConvBlock(8, 7, groups=4)
    block.build((None, None, None, 4))
    assert isinstance(block.conv, keras.layers.Conv2D)


def test_siblings_start_differently():
    block = C3kBlock(8, kernel_initializer=keras.initializers.HeNormal())
    block.build((None, 4, 4, 8))
    first, second = (ops.convert_to_numpy(c.conv.kernel) for c in (block.conv1, block.conv2))
    assert not np.allclose(first, second)


@pytest.mark.parametrize("activation", [keras.layers.PReLU(shared_axes=[1, 2]), "relu", None])
def test_any_activation_reaches_every_convolution(activation, tmp_path):
    inputs = keras.Input((4, 4, 8))
    block = C3kBlock(8, activation=activation)
    model = keras.Model(inputs, block(inputs))
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype("float32")
    if isinstance(activation, keras.layers.Layer):
        slopes = [v for v in block.trainable_variables if "alpha" in v.path]
        assert len(slopes) == 7
        for slope in slopes:
            slope.assign(slope + 0.5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6, atol=1e-6
    )


def test_unknown_height_and_width():
    inputs = keras.Input((None, None, 8))
    outputs = C3k2Block(8)(ConvBlock(8, 3, strides=2)(inputs))
    assert outputs.shape == (None, None, None, 8)
    model = keras.Model(inputs, outputs)
    assert model.predict(np.zeros((1, 7, 4, 8)), verbose=0).shape == (1, 4, 2, 8)


def test_a_global_setting_of_channels_first_is_refused_and_a_stored_one_wins():
    config = ConvBlock(4).get_config()
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="data_format"):
            ConvBlock(4)
        assert ConvBlock.from_config(config).data_format == "channels_last"
    finally:
        keras.config.set_image_data_format("channels_last")
