"""CBAM, MobileMQA, NonLocalAttention and WindowAttention against timm and their properties."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import whole_call
from dl_techniques.layers.attention.cbam import CBAM
from dl_techniques.layers.attention.channel_attention import ChannelAttention
from dl_techniques.layers.attention.mobile_mqa import MobileMQA
from dl_techniques.layers.attention.non_local_attention import MODES, NonLocalAttention
from dl_techniques.layers.attention.spatial_attention import SpatialAttention
from dl_techniques.layers.attention.window_attention import WindowAttention


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def run(function, *inputs):
    return ops.convert_to_numpy(whole_call(function)(*inputs))


def randomized(layer, *shapes, seed=0):
    """Built, with random weights."""
    layer.build(*shapes)
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.uniform(0.2, 1, size=w.shape) for w in layer.weights])
    return layer


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def pointwise(w):
    """A 1 x 1 convolution's weight as a dense kernel."""
    return w.reshape(w.shape[:2]).T


def batch_norm(ours, peer):
    yield ours.gamma, peer.weight, np.asarray
    yield ours.beta, peer.bias, np.asarray
    yield ours.moving_mean, peer.running_mean, np.asarray
    yield ours.moving_variance, peer.running_var, np.asarray


# --- CBAM


def test_cbam_weighs_channels_then_places():
    x = draw(2, 5, 4, 8)
    layer = randomized(CBAM(2, 3), x.shape)
    middle = x * run(layer.channel_attention, x)
    expected = middle * run(layer.spatial_attention, middle)
    np.testing.assert_allclose(run(layer, x), expected, atol=1e-6)


def test_channel_attention_equals_the_formula():
    x = draw(2, 5, 4, 6)
    layer = randomized(ChannelAttention(3, use_bias=True), x.shape)
    w0, b0, w1, b1 = (array(w).astype("float64") for w in layer.weights)
    pooled = [x.mean((1, 2)), x.max((1, 2))]
    logits = sum(np.maximum(p @ w0 + b0, 0) @ w1 + b1 for p in pooled)
    np.testing.assert_allclose(array(layer(x))[:, 0, 0], 1 / (1 + np.exp(-logits)), atol=1e-5)


@pytest.mark.parametrize("cls", [SpatialAttention, ChannelAttention])
def test_sums_of_float16_images_do_not_overflow(cls):
    # 64 x 64 places of 100, and 1,024 channels of it, add up to more than 65,504.
    x = np.full((1, 64, 64, 1024), 100, "float32")
    half, single = cls(dtype="mixed_float16"), cls()
    half.build(x.shape)
    single.build(x.shape)
    single.set_weights(half.get_weights())
    np.testing.assert_allclose(run(half, x), run(single, x), atol=5e-2)


@pytest.mark.oracle
@pytest.mark.parametrize("image", [(7, 5), (3, 9)])
def test_cbam_equals_timm(image, timm, agree):
    from timm.layers.cbam import CbamModule

    peer = CbamModule(12, rd_ratio=1 / 4).eval()
    x = draw(2, *image, 12)
    layer = CBAM(reduction_ratio=4)
    layer.build(x.shape)
    channel, spatial = layer.channel_attention, layer.spatial_attention
    agree(
        layer,
        layer,
        lambda x: nhwc(peer(nchw(x))),
        [
            (channel.reduce.kernel, peer.channel.fc1.weight, pointwise),
            (channel.expand.kernel, peer.channel.fc2.weight, pointwise),
            (
                spatial.conv.kernel,
                peer.spatial.conv.conv.weight,
                lambda w: w.transpose(2, 3, 1, 0),
            ),
            *batch_norm(spatial.norm, peer.spatial.conv.bn),
        ],
        [x],
        oracle=f"timm CbamModule {timm.__version__}",
    )


# --- MobileMQA


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("image", "config"),
    [
        ((5, 7), {}),
        ((5, 7), {"kv_strides": 2}),
        ((6, 4), {"kv_strides": 2, "query_strides": 2}),
        ((4, 6), {"query_strides": 2, "use_bias": True, "filters": 5}),
    ],
)
def test_mobile_mqa_equals_timm(image, config, timm, agree):
    from timm.layers.attention2d import MultiQueryAttention2d

    strides = {"kv_stride": config.get("kv_strides", 1)}
    peer = MultiQueryAttention2d(
        6,
        config.get("filters"),
        num_heads=3,
        key_dim=4,
        value_dim=5,
        query_strides=config.get("query_strides", 1),
        use_bias=config.get("use_bias", False),
        **strides,
    ).eval()
    x = draw(2, *image, 6)
    layer = MobileMQA(3, 4, 5, **config)
    layer.build(x.shape)
    pairs = []
    for name in ("query", "key", "value", "output"):
        dense, conv = getattr(layer, f"{name}_projection"), getattr(peer, name).proj
        pairs.append((dense.kernel, conv.weight, pointwise))
        if config.get("use_bias"):
            pairs.append((dense.bias, conv.bias, np.asarray))
    if layer.query_norm is not None:
        pairs += batch_norm(layer.query_norm, peer.query.norm)
    if layer.key_reduction is not None:
        for name in ("key", "value"):
            ours = getattr(layer, f"{name}_reduction")
            theirs = getattr(peer, name)
            pairs.append((ours.kernel, theirs.down_conv.weight, lambda w: w.transpose(2, 3, 0, 1)))
            pairs += batch_norm(getattr(layer, f"{name}_norm"), theirs.norm)
    agree(
        layer,
        layer,
        lambda x: nhwc(peer(nchw(x))),
        pairs,
        [x],
        oracle=f"timm MultiQueryAttention2d {timm.__version__}",
        tolerance=5e-5,
    )


@pytest.mark.parametrize("strides", [{"kv_strides": 2}, {"query_strides": 2}])
def test_mobile_mqa_takes_images_of_unknown_size(strides):
    inputs = keras.Input((None, None, 6))
    layer = MobileMQA(2, 4, 3, **strides)
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, 6)
    for image in ((4, 6), (2, 8)):
        x = draw(1, *image, 6)
        np.testing.assert_allclose(model.predict(x, verbose=0), run(layer, x), atol=1e-6)


# --- NonLocalAttention


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_non_local_block_starts_as_the_identity(mode, norm):
    x = draw(2, 3, 4, 6)
    layer = NonLocalAttention(mode=mode, norm=norm)
    layer.build(x.shape)
    np.testing.assert_array_equal(run(layer, x), x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(2, 7, 6), (2, 3, 4, 6), (2, 2, 3, 2, 6)])
def test_non_local_modes_equal_their_formulas(mode, shape, verify):
    x = draw(*shape)
    layer = randomized(
        NonLocalAttention(3, mode, norm="none", kernel_initializer="random_normal"), shape
    )
    flat = x.reshape(shape[0], -1, 6).astype("float64")

    def dense(layer, x):
        kernel, bias = (array(w).astype("float64") for w in layer.weights)
        return x @ kernel + bias

    g = dense(layer.g, flat)
    theta, phi = (
        (flat, flat) if mode == "gaussian" else (dense(layer.theta, flat), dense(layer.phi, flat))
    )
    logits = theta @ phi.swapaxes(1, 2)
    if mode in {"gaussian", "embedded_gaussian"}:
        f = np.exp(logits - logits.max(-1, keepdims=True))
        f /= f.sum(-1, keepdims=True)
    else:
        if mode == "concatenation":
            left, right = (
                e @ array(w).astype("float64")
                for e, w in ((theta, layer.w_theta), (phi, layer.w_phi))
            )
            logits = np.maximum(left + right.swapaxes(1, 2), 0)
        f = logits / flat.shape[1]
    expected = x + dense(layer.w_z, f @ g).reshape(shape)
    verify("dl_techniques>NonLocalAttention", "closed form in float64", run(layer, x), expected)


@pytest.mark.parametrize("mode", MODES)
def test_padding_says_nothing(mode):
    x = draw(2, 6, 4)
    layer = randomized(NonLocalAttention(mode=mode, norm="none"), x.shape)
    short = run(layer, x[:, :4])
    real = np.arange(6)[None] < np.array([[4], [4]])
    masked = run(lambda x: layer(x, mask=real), x)
    np.testing.assert_allclose(masked[:, :4], short, atol=1e-5)


@pytest.mark.parametrize("mode", ["embedded_gaussian", "dot_product"])
def test_sub_sampling_pools_keys_and_values(mode):
    x = draw(1, 4, 6, 4)
    layer = randomized(NonLocalAttention(mode=mode, sub_sample=True, norm="none"), x.shape)
    pooled = x.reshape(1, 2, 2, 3, 2, 4).max((2, 4)).repeat(2, 1).repeat(2, 2)
    whole = NonLocalAttention(mode=mode, norm="none")
    whole.build(x.shape)
    whole.set_weights(layer.get_weights())
    # Each pooled position stands four times in `pooled`, which changes no average.
    q, k, v = layer.theta(x), whole.phi(pooled), whole.g(pooled)
    flat = [array(t).reshape(1, 24, -1).astype("float64") for t in (q, k, v)]
    logits = flat[0] @ flat[1].swapaxes(1, 2)
    f = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    f = f if mode == "embedded_gaussian" else logits / 24
    y = (f @ flat[2]).reshape(1, 4, 6, -1).astype("float32")
    np.testing.assert_allclose(run(layer, x), x + array(layer.w_z(y)), atol=1e-4)


@pytest.mark.oracle
def test_non_local_attention_equals_timm(timm, agree):
    from timm.layers.non_local_attn import NonLocalAttn

    peer = NonLocalAttn(6, use_scale=False, rd_channels=4).eval()
    x = draw(2, 5, 3, 6)
    layer = NonLocalAttention(4)
    layer.build(x.shape)
    names = {"theta": "t", "phi": "p", "g": "g", "w_z": "z"}
    pairs = []
    for ours, theirs in names.items():
        dense, conv = getattr(layer, ours), getattr(peer, theirs)
        pairs.append((dense.kernel, conv.weight, pointwise))
        pairs.append((dense.bias, conv.bias, np.asarray))
    agree(
        layer,
        layer,
        lambda x: nhwc(peer(nchw(x))),
        [*pairs, *batch_norm(layer.norm_layer, peer.norm)],
        [x],
        oracle=f"timm NonLocalAttn {timm.__version__}",
        tolerance=1e-4,
    )


# --- WindowAttention


def test_the_bias_depends_on_the_displacement_alone():
    layer = WindowAttention((2, 3), 2)
    layer.build((None, 6, 4))
    table = array(layer.relative_position_bias_table)
    bias = array(layer._relative_position_bias())[0]
    for i in range(6):
        for j in range(6):
            dy, dx = i // 3 - j // 3, i % 3 - j % 3
            np.testing.assert_array_equal(bias[:, i, j], table[(dy + 1) * 5 + dx + 2])


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_masks_of_windows_may_be_boolean_or_added(dropout):
    x = draw(6, 4, 8)
    layer = randomized(WindowAttention(2, 2, attention_dropout=dropout), x.shape)
    allowed = np.random.default_rng(1).random((3, 4, 4)) > 0.4
    allowed |= np.eye(4, dtype=bool)
    added = np.where(allowed, 0, -1e4).astype("float32")
    boolean, added, integer = run(
        lambda x: ops.stack([layer(x, mask=m) for m in (allowed, added, allowed.astype("int32"))]),
        x,
    )
    one = run(lambda x: layer(x, mask=allowed[:1]), x[3:4])
    np.testing.assert_allclose(boolean, added, atol=1e-5)
    np.testing.assert_array_equal(boolean, integer)
    # The window index runs fastest: window 3 is the first of the second image.
    np.testing.assert_allclose(boolean[3:4], one, atol=1e-5)


def test_a_mask_of_tokens_hides_padding():
    x = draw(3, 4, 8)
    layer = randomized(WindowAttention(2, 2), x.shape)
    real = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 1]], bool)
    moved = (x + 10 * ~real[:, :, None]).astype("float32")
    before, after = (run(lambda y: layer(y, mask=real), y)[real] for y in (x, moved))
    np.testing.assert_allclose(before, after, atol=1e-4)


@pytest.mark.oracle
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("head_dim", [None, 5])
def test_window_attention_equals_timm(masked, head_dim, timm, agree):
    import torch
    from timm.models.swin_transformer import WindowAttention as Peer

    peer = Peer(12, 3, head_dim=head_dim, window_size=(3, 4)).eval()
    width = 3 * (head_dim or 4)
    weights = [torch.nn.Parameter(torch.zeros(width, 12)) for _ in range(3)]
    biases = [torch.nn.Parameter(torch.zeros(width)) for _ in range(3)]
    mask = np.where(np.random.default_rng(1).random((2, 12, 12)) > 0.3, 0, -100).astype("float32")
    x = draw(6, 12, 12)
    layer = WindowAttention((3, 4), 3, head_dim=head_dim)
    layer.build(x.shape)

    def theirs(x):
        parameters = {"qkv.weight": torch.cat(weights), "qkv.bias": torch.cat(biases)}
        how = {"mask": torch.tensor(mask) if masked else None}
        return torch.func.functional_call(peer, parameters, (x,), how)

    pairs = [
        (layer.output_projection.kernel, peer.proj.weight, np.transpose),
        (layer.output_projection.bias, peer.proj.bias, np.asarray),
        (layer.relative_position_bias_table, peer.relative_position_bias_table, np.asarray),
    ]
    for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
        dense = getattr(layer, f"{name}_projection")
        pairs += [(dense.kernel, weight, np.transpose), (dense.bias, bias, np.asarray)]
    agree(
        layer,
        lambda x: layer(x, mask=mask if masked else None),
        theirs,
        pairs,
        [x],
        oracle=f"timm WindowAttention {timm.__version__}",
        tolerance=5e-5,
    )
