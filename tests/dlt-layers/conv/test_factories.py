"""The factories against the same layers made by hand, slicing, numpy and torch."""

from __future__ import annotations

import copy

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.conv.conv2d_builder import conv2d_builder
from dl_techniques.layers.conv.downsample import downsample
from dl_techniques.layers.conv.pixel_shuffle import PixelShuffle
from dl_techniques.layers.conv.space_to_depth import SpaceToDepth
from dl_techniques.layers.conv.upsample import upsample

L = keras.layers
DOWN = ["conv2d", "conv2d_2x2", "maxpool", "avgpool", "maxpool_conv2d", "strides", "space_to_depth"]
UP = [
    "conv2d_transpose",
    "bilinear",
    "nearest",
    "bilinear_conv2d",
    "nearest_conv2d",
    "pixel_shuffle",
]
CONVOLVES = {"conv2d", "conv2d_2x2", "maxpool_conv2d", "conv2d_transpose", "bilinear_conv2d"}
CONVOLVES |= {"nearest_conv2d"}


def image(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def transfer(source, target, x):
    """Both built, with the same random weights."""
    target(x)
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.5, 1.5, w.shape) for w in source.get_weights()]
    source.set_weights(weights)
    target.set_weights(weights)


BY_HAND = {
    "conv2d": (
        {"conv_params": {"filters": 3, "kernel_size": 3}, "activation": "relu"},
        lambda: [L.Conv2D(3, 3), L.Activation("relu")],
    ),
    "batch_norm": (
        {
            "conv_params": {"filters": 3, "kernel_size": 3, "padding": "same"},
            "bn_params": {"epsilon": 0.1},
            "activation": "silu",
        },
        lambda: [
            L.Conv2D(3, 3, padding="same", use_bias=False),
            L.BatchNormalization(epsilon=0.1),
            L.Activation("silu"),
        ],
    ),
    "bias_kept": (
        {
            "conv_params": {"filters": 3, "kernel_size": 1, "use_bias": True},
            "bn_params": {},
        },
        lambda: [L.Conv2D(3, 1), L.BatchNormalization()],
    ),
    "depthwise": (
        {
            "conv_params": {"kernel_size": 3, "depth_multiplier": 2},
            "ln_params": {"epsilon": 1e-6},
            "conv_type": "conv2d_depthwise",
        },
        lambda: [L.DepthwiseConv2D(3, depth_multiplier=2), L.LayerNormalization(epsilon=1e-6)],
    ),
    "transpose": (
        {"conv_params": {"filters": 3, "kernel_size": 2}, "conv_type": "conv2d_transpose"},
        lambda: [L.Conv2DTranspose(3, 2)],
    ),
    "separable": (
        {
            "conv_params": {"filters": 3, "kernel_size": 3},
            "conv_type": "conv2d_separable",
            "dropout_params": {"rate": 0.5},
        },
        lambda: [L.SeparableConv2D(3, 3), L.Dropout(0.5)],
    ),
    "symmetric": (
        {
            "conv_params": {
                "filters": 3,
                "kernel_size": (3, 5),
                "strides": 2,
                "padding": "symmetric",
            }
        },
        lambda: [L.ZeroPadding2D((1, 2)), L.Conv2D(3, (3, 5), 2)],
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_builder_equals_the_layers_made_by_hand(case):
    config, by_hand = BY_HAND[case]
    x = image(2, 6, 7, 4)
    before = copy.deepcopy(config)
    block, expected = conv2d_builder(**config), keras.Sequential(by_hand())
    assert [type(layer) for layer in block.layers] == [type(layer) for layer in expected.layers]
    block(x)
    transfer(block, expected, x)
    assert np.array_equal(array(block(x)), array(expected(x)))
    assert config == before


def test_builder_takes_a_tensor_and_orders_its_parts():
    inputs = keras.Input((None, None, 3))
    parts = {"conv_params": {"filters": 4, "kernel_size": 3}, "bn_params": {}}
    parts |= {
        "activation": L.PReLU(shared_axes=[1, 2]),
        "dropout_params": {"rate": 0.1, "spatial": True},
    }
    outputs = conv2d_builder(inputs, **parts)
    assert outputs.shape == (None, None, None, 4)
    block = conv2d_builder(**{**parts, "activation": "gelu"})
    kinds = [L.Conv2D, L.BatchNormalization, L.Activation, L.SpatialDropout2D]
    assert [type(layer) for layer in block.layers] == kinds


CONV = {"filters": 4, "kernel_size": 3}


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"conv_params": CONV, "conv_type": "conv3d"}, "conv_type"),
        ({"conv_params": CONV, "bn_params": {}, "ln_params": {}}, "bn_params"),
        ({"conv_params": {**CONV, "kernel": 3}}, "kernel"),
        ({"conv_params": {"filters": 4}}, "conv_params"),
        ({"conv_params": None}, "conv_params"),
        ({"conv_params": {**CONV, "activation": "relu"}}, "activation"),
        ({"conv_params": {**CONV, "data_format": "channels_first"}}, "data_format"),
        ({"conv_params": {**CONV, "kernel_size": 4, "padding": "symmetric"}}, "kernel_size"),
        (
            {"conv_params": {**CONV, "padding": "symmetric"}, "conv_type": "conv2d_transpose"},
            "padding",
        ),
        ({"conv_params": CONV, "bn_params": {"eps": 1}}, "eps"),
        ({"conv_params": CONV, "dropout_params": {}}, "dropout_params"),
        ({"conv_params": CONV, "activation": "no such"}, "activation"),
    ],
)
def test_builder_refuses_by_name(config, named):
    with pytest.raises(ValueError, match=named):
        conv2d_builder(**config)


@pytest.mark.parametrize("method", DOWN)
def test_downsampling_halves_and_rounds_up(method):
    filters = 8 if method in CONVOLVES else None
    sizes = (6, 4) if method == "space_to_depth" else (7, 4)
    y = downsample(image(2, *sizes, 2), method, filters=filters)
    assert tuple(y.shape) == (2, -(-sizes[0] // 2), 2, 8 if filters or "depth" in method else 2)


@pytest.mark.parametrize("method", UP)
def test_upsampling_doubles(method):
    filters = 3 if method in CONVOLVES else None
    y = upsample(image(2, 3, 5, 4), method, filters=filters)
    assert tuple(y.shape) == (2, 6, 10, filters or {"pixel_shuffle": 1}.get(method, 4))


@pytest.mark.parametrize(
    ("factory", "method"), [*((downsample, m) for m in DOWN), *((upsample, m) for m in UP)]
)
def test_they_save_and_load(factory, method, tmp_path):
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, factory(inputs, method, 3 if method in CONVOLVES else None))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = image(2, 4, 6, 4)
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_values_that_need_no_peer():
    x = image(2, 5, 7, 3)
    assert np.array_equal(array(downsample(x, "strides")), x[:, ::2, ::2])
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=np.nan)
    squares = padded.reshape(2, 3, 2, 4, 2, 3)
    np.testing.assert_allclose(
        array(downsample(x, "avgpool")), np.nanmean(squares, axis=(2, 4)), rtol=1e-5, atol=1e-6
    )
    assert np.array_equal(array(downsample(x, "maxpool")), np.nanmax(squares, axis=(2, 4)))
    assert np.array_equal(array(upsample(x, "nearest")), x.repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_pixel_shuffle_undoes_space_to_depth(factor):
    x = image(2, 2 * factor, 3 * factor, 5)
    y = SpaceToDepth(factor)(x)
    assert tuple(y.shape) == SpaceToDepth(factor).compute_output_shape(x.shape)
    assert np.array_equal(array(PixelShuffle(factor)(y)), x)


@pytest.mark.parametrize(
    ("factory", "config", "named"),
    [
        (downsample, {"downsample_type": "conv"}, "downsample_type"),
        (downsample, {"downsample_type": "conv2d"}, "filters"),
        (downsample, {"downsample_type": "maxpool", "filters": 3}, "filters"),
        (
            downsample,
            {"downsample_type": "strides", "conv_params": {"use_bias": False}},
            "conv_params",
        ),
        (upsample, {"upsample_type": "bicubic"}, "upsample_type"),
        (upsample, {"upsample_type": "nearest_conv2d"}, "filters"),
        (upsample, {"filters": 3, "conv_params": {"padding": "same"}}, "conv_params"),
        (upsample, {"filters": 3, "conv_params": {"kernel_size": 1}}, "kernel_size"),
    ],
)
def test_factories_refuse_by_name(factory, config, named):
    with pytest.raises(ValueError, match=named):
        factory(**config)


def test_a_global_setting_of_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        for make in (downsample, upsample):
            with pytest.raises(ValueError, match="channels_first"):
                make(filters=3)
        with pytest.raises(ValueError, match="channels_first"):
            conv2d_builder(conv_params=CONV)
    finally:
        keras.config.set_image_data_format("channels_last")


def torch_image(torch, x):
    return torch.tensor(x.transpose(0, 3, 1, 2))


@pytest.mark.oracle
@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
def test_transposed_convolution_equals_torch(kernel, verify):
    torch = pytest.importorskip("torch")
    x = image(2, 3, 5, 4)
    peer = torch.nn.ConvTranspose2d(4, 3, kernel, 2)
    block = upsample(None, "conv2d_transpose", 3, {"kernel_size": kernel})
    block.build(x.shape)
    weight, bias = (p.detach().numpy() for p in (peer.weight, peer.bias))
    block.set_weights([weight.transpose(2, 3, 1, 0), bias])
    whole = peer(torch_image(torch, x))
    first = (kernel - 2) // 2
    y_peer = whole[:, :, first : first + 6, first : first + 10].permute(0, 2, 3, 1)
    oracle = f"torch.nn.ConvTranspose2d {torch.__version__}, cropped"
    verify("dl_techniques>upsample", oracle, array(block(x)), y_peer)


@pytest.mark.oracle
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_interpolation_equals_torch(mode, verify):
    torch = pytest.importorskip("torch")
    x = image(2, 3, 5, 4)
    aligned = {"align_corners": False} if mode == "bilinear" else {}
    y_peer = torch.nn.functional.interpolate(
        torch_image(torch, x), scale_factor=2, mode=mode, **aligned
    )
    oracle = f"torch.nn.functional.interpolate {torch.__version__}"
    verify("dl_techniques>upsample", oracle, array(upsample(x, mode)), y_peer.permute(0, 2, 3, 1))


@pytest.mark.oracle
@pytest.mark.parametrize("sizes", [(6, 8), (5, 7)])
def test_strided_convolution_equals_torch(sizes, verify):
    torch = pytest.importorskip("torch")
    x = image(2, *sizes, 4)
    peer = torch.nn.Conv2d(4, 3, 3, 2, 1)
    block = downsample(None, "conv2d", 3)
    block.build(x.shape)
    block.set_weights(
        [peer.weight.detach().numpy().transpose(2, 3, 1, 0), peer.bias.detach().numpy()]
    )
    y_peer = peer(torch_image(torch, x)).permute(0, 2, 3, 1)
    oracle = f"torch.nn.Conv2d {torch.__version__}"
    verify("dl_techniques>downsample", oracle, array(block(x)), y_peer)


@pytest.mark.oracle
def test_pixel_shuffle_equals_torch(verify):
    torch = pytest.importorskip("torch")
    x = image(2, 4, 6, 12)
    shuffled = torch.nn.functional.pixel_shuffle(torch_image(torch, x), 2).permute(0, 2, 3, 1)
    stacked = torch.nn.functional.pixel_unshuffle(torch_image(torch, x), 2).permute(0, 2, 3, 1)
    version = torch.__version__
    verify(
        "dl_techniques>PixelShuffle",
        f"torch pixel_shuffle {version}",
        array(PixelShuffle()(x)),
        shuffled,
    )
    verify(
        "dl_techniques>SpaceToDepth",
        f"torch pixel_unshuffle {version}",
        array(SpaceToDepth()(x)),
        stacked,
    )
