"""Transformer blocks against torchvision, timm, transformers, torch.nn, and their properties."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import whole_call
from dl_techniques.layers.transformer.convolutional_transformer_block import (
    ConvolutionalTransformerBlock,
)
from dl_techniques.layers.transformer.mixed_sequential_block import MixedSequentialBlock
from dl_techniques.layers.transformer.swin_conv_block import SwinConvBlock
from dl_techniques.layers.transformer.swin_transformer_block import SwinTransformerBlock
from dl_techniques.layers.transformer.vision_transformer_layer import VisionTransformerLayer


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def run(function, *inputs):
    return ops.convert_to_numpy(whole_call(function)(*inputs))


def randomized(layer, shape, seed=0, scale=0.4):
    layer.build(shape)
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(scale=scale, size=w.shape) for w in layer.weights])
    return layer


def dense(ours, peer):
    yield ours.kernel, peer.weight, np.transpose
    if peer.bias is not None:
        yield ours.bias, peer.bias, np.asarray


def norm(ours, peer):
    yield ours.gamma, peer.weight, np.asarray
    yield ours.beta, peer.bias, np.asarray


def batch_norm(ours, peer):
    yield from norm(ours, peer)
    yield ours.moving_mean, peer.running_mean, np.asarray
    yield ours.moving_variance, peer.running_var, np.asarray


class Fused:
    """A peer's fused query, key and value projection, as three parameters with gradients."""

    def __init__(self, attention, width, prefix):
        import torch

        parameters = torch.nn.Parameter
        self.prefix = prefix
        self.weights = [parameters(torch.zeros(width, width)) for _ in range(3)]
        self.biases = [parameters(torch.zeros(width)) for _ in range(3)]
        self.pairs = []
        for name, weight, bias in zip(
            ("query", "key", "value"), self.weights, self.biases, strict=True
        ):
            layer = getattr(attention, f"{name}_projection")
            self.pairs += [(layer.kernel, weight, np.transpose), (layer.bias, bias, np.asarray)]

    def call(self, peer, *inputs, **how):
        import torch

        names = {"weight": torch.cat(self.weights), "bias": torch.cat(self.biases)}
        parameters = {f"{self.prefix}{name}": value for name, value in names.items()}
        return torch.func.functional_call(peer, parameters, inputs, how)


# --- SwinTransformerBlock


@pytest.mark.parametrize("image", [(8, 8), (9, 10), (4, 4), (3, 11)])
def test_shifted_windows_see_their_neighbours_only(image):
    """Each token is influenced by the tokens of its shifted window, and by no others."""
    height, width = image
    block = randomized(
        SwinTransformerBlock(4, 2, 4, shift_size=2, mask_padding=True), (None, None, None, 4)
    )
    x = draw(1, height, width, 4)
    y0, x0 = height // 2, width // 2
    moved = x.copy()
    moved[0, y0, x0, 0] += 1  # a shift of all channels would vanish in the norm
    before, after = run(block, np.concatenate([x, moved]))
    changed = np.abs(after - before).max(-1) > 1e-6

    def window(i, size):
        # Shifted by two; a side that is one (padded) window is not shifted.
        return (i + 2) // 4 if -(-size // 4) > 1 else 0

    expected = [
        [
            window(i, height) == window(y0, height) and window(j, width) == window(x0, width)
            for j in range(width)
        ]
        for i in range(height)
    ]
    np.testing.assert_array_equal(changed, expected)


def test_masked_padding_makes_a_corner_window_a_small_image():
    x = draw(1, 5, 6, 4)
    block = randomized(SwinTransformerBlock(4, 2, 4, mask_padding=True), (None, None, None, 4))
    corner = run(block, x)[:, 4:, 4:]
    np.testing.assert_allclose(corner, run(block, x[:, 4:, 4:]), atol=1e-5)


@pytest.mark.parametrize(("shift", "mask_padding"), [(0, False), (1, True)])
def test_swin_takes_images_of_unknown_size(shift, mask_padding):
    block = SwinTransformerBlock(None, 2, 3, shift, mask_padding=mask_padding)
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, block(inputs))
    assert model.output_shape == (None, None, None, 4)
    for image in ((5, 7), (2, 3)):
        x = draw(2, *image, 4)
        np.testing.assert_allclose(model.predict(x, verbose=0), run(block, x), atol=1e-5)


def swin_pairs(ours, peer, attention="attn"):
    theirs = getattr(peer, attention)
    yield from dense(ours.attention.output_projection, theirs.proj)
    table = theirs.relative_position_bias_table
    yield ours.attention.relative_position_bias_table, table, np.asarray
    yield from norm(ours.norm1, peer.norm1)
    yield from norm(ours.norm2, peer.norm2)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("image", "window", "shift"),
    [((14, 7), 7, 0), ((14, 14), 7, 3), ((9, 16), 7, 3), ((5, 5), 7, 3), ((6, 8), (3, 4), (1, 2))],
)
def test_swin_equals_torchvision(image, window, shift, torchvision, agree):
    from torchvision.models.swin_transformer import SwinTransformerBlock as Peer

    pairs = [[s, s] if isinstance(s, int) else list(s) for s in (window, shift)]
    peer = Peer(12, 3, *pairs).eval()
    x = draw(2, *image, 12)
    block = SwinTransformerBlock(12, 3, window, shift)
    block.build(x.shape)
    fused = Fused(block.attention, 12, "attn.qkv.")
    agree(
        block,
        block,
        lambda x: fused.call(peer, x),
        [
            *fused.pairs,
            *swin_pairs(block, peer),
            *dense(block.ffn_layer.hidden, peer.mlp[0]),
            *dense(block.ffn_layer.output_dense, peer.mlp[3]),
        ],
        [x],
        oracle=f"torchvision SwinTransformerBlock {torchvision.__version__}",
        tolerance=1e-4,
        scale=0.3,
    )


# --- SwinConvBlock


def test_a_small_image_is_not_shifted():
    config = {"conv_dim": 2, "trans_dim": 4, "head_dim": 2, "window_size": 4}
    for resolution, shift in ((None, 2), (8, 2), (4, 0), ((4, 16), 0)):
        block = SwinConvBlock(**config, block_type="SW", input_resolution=resolution)
        assert block.transformer.shift_size == shift
    assert SwinConvBlock(**config).transformer.shift_size == 0


@pytest.mark.oracle
@pytest.mark.parametrize(("block_type", "height"), [("W", 16), ("SW", 16), ("SW", 8)])
def test_swin_conv_equals_scunet(block_type, height, timm, agree):
    """SCUNet shifts a side of one window as well."""
    pytest.importorskip("spandrel")
    import torch
    from spandrel.architectures.SCUNet.__arch.SCUNet import ConvTransBlock

    peer = ConvTransBlock(4, 6, 3, 8, 0.0, block_type, 32).eval()
    x = draw(1, height, 24, 10)
    block = SwinConvBlock(4, 6, 3, 8, block_type=block_type, always_shift=height == 8)
    block.build(x.shape)
    swin, theirs = block.transformer, peer.trans_block
    weights = [torch.nn.Parameter(torch.zeros(6, 6)) for _ in range(3)]
    biases = [torch.nn.Parameter(torch.zeros(6)) for _ in range(3)]

    def call(x):
        fused = {
            "trans_block.msa.embedding_layer.weight": torch.cat(weights),
            "trans_block.msa.embedding_layer.bias": torch.cat(biases),
        }
        return torch.func.functional_call(peer, fused, (x.permute(0, 3, 1, 2),)).permute(0, 2, 3, 1)

    pairs = []
    for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
        layer = getattr(swin.attention, f"{name}_projection")
        pairs += [(layer.kernel, weight, np.transpose), (layer.bias, bias, np.asarray)]

    def conv(w):
        return w.transpose(2, 3, 1, 0)

    pairs += [
        (block.mix_in.kernel, peer.conv1_1.weight, conv),
        (block.mix_in.bias, peer.conv1_1.bias, np.asarray),
        (block.mix_out.kernel, peer.conv1_2.weight, conv),
        (block.mix_out.bias, peer.conv1_2.bias, np.asarray),
        (block.conv1.kernel, peer.conv_block[0].weight, conv),
        (block.conv2.kernel, peer.conv_block[2].weight, conv),
        *dense(swin.attention.output_projection, theirs.msa.linear),
        (
            swin.attention.relative_position_bias_table,
            theirs.msa.relative_position_params,
            lambda w: w.transpose(1, 2, 0).reshape(-1, w.shape[0]),
        ),
        *norm(swin.norm1, theirs.ln1),
        *norm(swin.norm2, theirs.ln2),
        *dense(swin.ffn_layer.hidden, theirs.mlp[0]),
        *dense(swin.ffn_layer.output_dense, theirs.mlp[2]),
    ]
    oracle = "spandrel SCUNet ConvTransBlock"
    agree(block, block, call, pairs, [x], oracle=oracle, tolerance=1e-4, scale=0.3)


# --- ConvolutionalTransformerBlock


def test_the_linear_projection_is_a_vision_transformer_on_the_flat_map():
    x = draw(2, 3, 4, 8)
    block = randomized(ConvolutionalTransformerBlock(2, projection="linear"), x.shape)
    peer = VisionTransformerLayer(2, norm_epsilon=1e-5)
    flat = x.reshape(2, 12, 8)
    peer.build(flat.shape)
    for ours, theirs in zip(
        (*block.linears, block.norm1, block.norm2, block.ffn_layer),
        (
            peer.attention.query_projection,
            peer.attention.key_projection,
            peer.attention.value_projection,
            peer.attention.output_projection,
            *peer.norms,
            peer.ffn_layer,
        ),
        strict=True,
    ):
        theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(run(block, x).reshape(2, 12, 8), run(peer, flat), atol=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("strides", [1, 2])
def test_convolutional_transformer_equals_cvt(strides, transformers, agree):
    from transformers.models.cvt.modeling_cvt import CvtLayer

    peer = CvtLayer(
        num_heads=2,
        embed_dim=8,
        kernel_size=3,
        padding_q=1,
        padding_kv=1,
        stride_q=1,
        stride_kv=strides,
        qkv_projection_method="dw_bn",
        qkv_bias=True,
        attention_drop_rate=0.0,
        drop_rate=0.0,
        mlp_ratio=2.0,
        drop_path_rate=0.0,
        with_cls_token=False,
    ).eval()
    x = draw(2, 7, 6, 8)
    block = ConvolutionalTransformerBlock(2, kv_strides=strides, mlp_ratio=2.0)
    block.build(x.shape)
    theirs = peer.attention.attention
    pairs = []
    for i, name in enumerate(("query", "key", "value")):
        projection = getattr(theirs, f"convolution_projection_{name}").convolution_projection
        pairs.append(
            (
                block.convs[i].kernel,
                projection.convolution.weight,
                lambda w: w.transpose(2, 3, 0, 1),
            )
        )
        pairs += batch_norm(block.conv_norms[i], projection.normalization)
        pairs += dense(block.linears[i], getattr(theirs, f"projection_{name}"))
    agree(
        block,
        block,
        lambda x: peer(x.reshape(2, 42, 8), 7, 6).reshape(2, 7, 6, 8),
        [
            *pairs,
            *dense(block.linears[3], peer.attention.output.dense),
            *norm(block.norm1, peer.layernorm_before),
            *norm(block.norm2, peer.layernorm_after),
            *dense(block.ffn_layer.hidden, peer.intermediate.dense),
            *dense(block.ffn_layer.output_dense, peer.output.dense),
        ],
        [x],
        oracle=f"transformers CvtLayer {transformers.__version__}",
        tolerance=1e-4,
    )


# --- VisionTransformerLayer


@pytest.mark.parametrize("position", ["pre", "post", "sandwich"])
def test_positions_of_the_norms(position):
    x = draw(2, 5, 8)
    layer = randomized(VisionTransformerLayer(2, norm_position=position), x.shape)
    norms = layer.norms
    first, second = norms[:2] if position != "post" else (lambda y: y,) * 2
    after = norms[2:] if position == "sandwich" else (lambda y: y,) * 2
    outer = norms if position == "post" else (lambda y: y,) * 2
    y = outer[0](x + array(after[0](layer.attention(first(x)))))
    y = outer[1](array(y) + array(after[1](layer.ffn_layer(second(y)))))
    np.testing.assert_allclose(array(layer(x)), array(y), atol=1e-5)


def test_masks_reach_attention_in_every_way():
    x = draw(2, 6, 8)
    layer = randomized(VisionTransformerLayer(2, mlp_dim=8), x.shape)
    real = np.arange(6)[None] < np.array([[6], [4]])
    full = real[:, None, :].repeat(6, 1)
    expected, implicit, explicit = run(
        lambda x: ops.stack(
            [layer(x, padding_mask=real), layer(x, mask=real), layer(x, attention_mask=full)]
        ),
        x,
    )
    short = run(layer, x[1:, :4])
    np.testing.assert_allclose(expected[1:, :4], short, atol=1e-5)
    np.testing.assert_allclose(implicit, expected, atol=1e-6)
    np.testing.assert_allclose(explicit, expected, atol=1e-6)
    x[1, 4:] = 0
    masking, past = keras.layers.Masking(), np.tril(np.ones((6, 6)))
    causal = run(lambda x: layer(masking(x), attention_mask=past), x)
    alone = run(lambda x: layer(x, use_causal_mask=True), x[1:, :4])
    np.testing.assert_allclose(causal[1:, :4], alone, atol=1e-5)


def test_drop_path_drops_whole_branches():
    x = draw(1, 3, 8).repeat(64, 0)
    layer = randomized(VisionTransformerLayer(2, drop_path=0.5, seed=3), x.shape)
    changed = np.abs(run(lambda x: layer(x, training=True), x) - x).max((1, 2)) > 1e-6
    # Both branches are dropped for a quarter of the samples.
    assert 0.5 < changed.mean() < 0.95


@pytest.mark.parametrize("ffn", ["SwiGLUFFN", "GLUFFN", "dl_techniques>MLPBlock"])
def test_the_feed_forward_block_may_be_chosen(ffn):
    layer = VisionTransformerLayer(2, mlp_dim=6, ffn=ffn)
    layer(draw(1, 3, 8))
    again = VisionTransformerLayer.from_config(layer.get_config())
    assert type(again.ffn_layer if again.built else layer.ffn_layer).__name__ == ffn.split(">")[-1]
    assert layer.ffn_layer.hidden_dim == 6


@pytest.mark.oracle
def test_vision_transformer_equals_timm(timm, agree):
    from timm.models.vision_transformer import Block

    peer = Block(12, 3, mlp_ratio=2.0, qkv_bias=True, init_values=0.1).eval()
    for name in ("norm1", "norm2"):
        getattr(peer, name).eps = 1e-6
    x = draw(2, 7, 12)
    layer = VisionTransformerLayer(3, mlp_ratio=2.0, layer_scale_init=0.1)
    layer.build(x.shape)
    fused = Fused(layer.attention, 12, "attn.qkv.")
    agree(
        layer,
        layer,
        lambda x: fused.call(peer, x),
        [
            *fused.pairs,
            *dense(layer.attention.output_projection, peer.attn.proj),
            *norm(layer.norms[0], peer.norm1),
            *norm(layer.norms[1], peer.norm2),
            (layer.scales[0].gamma, peer.ls1.gamma, np.asarray),
            (layer.scales[1].gamma, peer.ls2.gamma, np.asarray),
            *dense(layer.ffn_layer.hidden, peer.mlp.fc1),
            *dense(layer.ffn_layer.output_dense, peer.mlp.fc2),
        ],
        [x],
        oracle=f"timm Block {timm.__version__}",
        tolerance=5e-5,
    )


@pytest.mark.oracle
@pytest.mark.parametrize("position", ["pre", "post"])
def test_vision_transformer_equals_torch_with_masks(position, agree):
    torch = pytest.importorskip("torch")
    peer = torch.nn.TransformerEncoderLayer(
        12, 3, 20, 0.0, "gelu", 1e-6, batch_first=True, norm_first=position == "pre"
    )
    real = np.array([[1] * 7, [1] * 4 + [0] * 3], bool)
    x = draw(2, 7, 12)
    layer = VisionTransformerLayer(3, mlp_dim=20, norm_position=position)
    layer.build(x.shape)
    fused = Fused(layer.attention, 12, "self_attn.in_proj_")
    hidden = {
        "src_mask": torch.ones(7, 7).triu(1) > 0,
        "src_key_padding_mask": torch.tensor(~real),
    }
    agree(
        layer,
        lambda x: layer(x, use_causal_mask=True, padding_mask=real),
        lambda x: fused.call(peer, x, **hidden),
        [
            *fused.pairs,
            *dense(layer.attention.output_projection, peer.self_attn.out_proj),
            *norm(layer.norms[0], peer.norm1),
            *norm(layer.norms[1], peer.norm2),
            *dense(layer.ffn_layer.hidden, peer.linear1),
            *dense(layer.ffn_layer.output_dense, peer.linear2),
        ],
        [x],
        keep=real[:, :, None],
        oracle=f"torch.nn.TransformerEncoderLayer {torch.__version__}",
        tolerance=5e-5,
    )


# --- MixedSequentialBlock


@pytest.mark.parametrize("block_type", ["lstm", "transformer", "mixed"])
def test_trailing_padding_does_not_change_real_tokens(block_type):
    x = draw(2, 6, 6)
    block = randomized(MixedSequentialBlock(6, 2, 3, 6, block_type), x.shape)
    real = np.arange(6)[None] < np.array([[4], [4]])
    masked = run(lambda x: block(x, mask=real), x)[:, :4]
    np.testing.assert_allclose(masked, run(block, x[:, :4]), atol=1e-5)


@pytest.mark.parametrize(("block_type", "causal"), [("lstm", False), ("mixed", True)])
def test_a_causal_block_does_not_see_the_future(block_type, causal):
    x = draw(1, 6, 6)
    config = {"lstm_units": 3, "ff_dim": 6, "block_type": block_type, "causal": causal}
    block = randomized(MixedSequentialBlock(6, 2, **config), x.shape)
    changed = x.copy()
    changed[:, 4:] += 1
    before, after = run(block, np.concatenate([x, changed]))
    np.testing.assert_allclose(after[:4], before[:4], atol=1e-6)


def test_only_the_chosen_branches_have_weights():
    counts = {}
    for block_type in ("lstm", "transformer", "mixed"):
        block = MixedSequentialBlock(None, 2, 3, 5, block_type)
        block.build((None, None, 6))
        counts[block_type] = block.count_params()
    ffn, norm_weights = 6 * 5 + 5 + 5 * 6 + 6, 12
    lstm = 4 * 3 * (6 + 3 + 1) + 3 * 6 + 6 + norm_weights
    attention = 4 * 6 * 7 + norm_weights
    assert counts["lstm"] == lstm + ffn + norm_weights
    assert counts["transformer"] == attention + ffn + norm_weights
    assert counts["mixed"] == lstm + attention + ffn + norm_weights


@pytest.mark.oracle
@pytest.mark.parametrize("block_type", ["lstm", "transformer", "mixed"])
def test_mixed_sequential_block_equals_torch(block_type, agree):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    x = draw(2, 5, 8)
    block = MixedSequentialBlock(None, 2, ff_dim=6, block_type=block_type)
    block.build(x.shape)
    lstm = nn.LSTM(8, 8, batch_first=True)
    lstm.bias_hh_l0.data.zero_()
    lstm.bias_hh_l0.requires_grad_(False)
    mha = nn.MultiheadAttention(8, 2, batch_first=True)
    norms = [nn.LayerNorm(8) for _ in block.branches]
    first, second = nn.Linear(8, 6), nn.Linear(6, 8)
    pairs = [*dense(block.ffn.hidden, first), *dense(block.ffn.output_dense, second)]
    for ours, theirs in zip(block.norms, norms, strict=True):
        pairs += norm(ours, theirs)
    if block.lstm is not None:
        pairs += [
            (block.lstm.cell.kernel, lstm.weight_ih_l0, np.transpose),
            (block.lstm.cell.recurrent_kernel, lstm.weight_hh_l0, np.transpose),
            (block.lstm.cell.bias, lstm.bias_ih_l0, np.asarray),
        ]
    if block.attention is not None:
        fused = Fused(block.attention, 8, "in_proj_")
        pairs += [*fused.pairs, *dense(block.attention.output_projection, mha.out_proj)]

    def theirs(x):
        for branch, layer_norm in zip(block.branches, norms, strict=True):
            y = layer_norm(x)
            if branch == "lstm":
                x = x + lstm(y)[0]
            elif branch == "attention":
                x = x + fused.call(mha, y, y, y)[0]
            else:
                x = x + second(nn.functional.gelu(first(y)))
        return x

    oracle = f"torch.nn composition {torch.__version__}"
    agree(block, block, theirs, pairs, [x], oracle=oracle, tolerance=5e-5)
