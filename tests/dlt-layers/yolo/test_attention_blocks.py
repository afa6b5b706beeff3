"""AreaAttention, AttentionBlock and A2C2fBlock against torch compositions and properties."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.layers.yolo.a2c2f_block import A2C2fBlock
from dl_techniques.layers.yolo.area_attention import AreaAttention
from dl_techniques.layers.yolo.attention_block import AttentionBlock


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("area", "image", "training"),
    [
        (1, (5, 3), False),
        (4, (6, 10), False),  # an area is one row and a half
        (2, (3, 4), True),
    ],
)
def test_area_attention_equals_torch(area, image, training, peers, compare):
    ours = AreaAttention(num_heads=3, area=area, pe_kernel_size=5)
    compare(ours, peers.Area(12, 3, area, 5), [(2, *image, 12)], training=training)


@pytest.mark.oracle
def test_attention_block_equals_torch(peers, compare):
    ours = AttentionBlock(8, 2, mlp_ratio=1.2, area=2)
    compare(ours, peers.Attention(8, 2, 1.2, 2), [(2, 4, 3, 8)])


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("channels", "config", "peer"),
    [
        (12, {"filters": 64, "n": 2, "area": 2}, {"c_out": 64, "n": 2, "area": 2}),
        (
            64,
            {"filters": 64, "residual": True, "mlp_ratio": 1.2},
            {"c_out": 64, "residual": True, "ratio": 1.2},
        ),
        (6, {"filters": 16, "n": 2, "use_attention": False}, {"c_out": 16, "n": 2, "a2": False}),
    ],
)
def test_a2c2f_block_equals_torch(channels, config, peer, peers, compare):
    compare(
        A2C2fBlock(**config), peers.A2C2f(channels, **peer), [(2, 4, 3, channels)], tolerance=2e-4
    )


def test_an_area_sees_nothing_of_another():
    x = np.random.default_rng(0).normal(size=(1, 4, 3, 8)).astype("float32")
    layer = AreaAttention(2, area=2, pe_kernel_size=1)
    before = ops.convert_to_numpy(layer(x))
    x[:, 2:] += 1
    after = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(before[:, :2], after[:, :2], atol=1e-6)
    assert np.abs(before[:, 2:] - after[:, 2:]).max() > 1e-2


def test_constant_values_pass_attention_unchanged():
    layer = AreaAttention(2, pe_kernel_size=3)
    x = np.broadcast_to(np.arange(1, 9, dtype="float32"), (1, 3, 4, 8))
    layer.build(x.shape)
    layer.pe.conv.kernel.assign(np.zeros(layer.pe.conv.kernel.shape))
    head_first = ops.convert_to_numpy(layer.qkv(x))[0, 0, 0].reshape(2, 3, 4)
    expected = layer.proj(head_first[:, 2].reshape(1, 1, 1, 8))
    actual = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(
        actual, np.broadcast_to(ops.convert_to_numpy(expected), x.shape), atol=1e-5
    )


def test_the_residual_starts_small():
    block = A2C2fBlock(32, expansion=1.0, residual=True)
    x = np.random.default_rng(0).normal(size=(1, 2, 2, 32)).astype("float32")
    block(x)
    np.testing.assert_allclose(ops.convert_to_numpy(block.residual_scale.gamma), 0.01)
    block.residual_scale.gamma.assign(np.zeros(32))
    np.testing.assert_allclose(ops.convert_to_numpy(block(x)), x)


def test_areas_with_unknown_height_and_width():
    inputs = keras.Input((None, None, 8))
    outputs = A2C2fBlock(32, area=4, expansion=1.0)(inputs)
    assert outputs.shape == (None, None, None, 32)
    model = keras.Model(inputs, outputs)
    for shape in [(1, 4, 4, 8), (2, 2, 6, 8)]:
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
        assert model.predict(x, verbose=0).shape == (*shape[:3], 32)
    with pytest.raises(ValueError, match="area"):
        model.layers[-1](np.zeros((1, 5, 5, 8)))


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_finite_far_out(dtype):
    x = (100 * np.random.default_rng(0).normal(size=(1, 4, 4, 8))).astype("float32")
    layer = AreaAttention(2, dtype=dtype)
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    assert np.isfinite(ops.convert_to_numpy(ops.cast(y, "float32"))).all()
