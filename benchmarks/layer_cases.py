"""Cases of `bench_layers.py`: our layers and their peers at usual sizes.

The peer is timm or torch.nn on PyTorch, and the same computation from Keras's built-in layers on
TensorFlow and JAX. Layers are imported by identifier when their case runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import layers, ops


class Case(NamedTuple):
    """One comparison.

    `ours` makes the built layer of `id` (see `load`); `builtin` makes a Keras layer or model from
    an input shape, `torch` a torch module. `channels_first` says that the torch module wants its
    images so. `host` makes a function of a NumPy array, which then is the peer on every backend.
    `inputs` makes the input from its shape, by default normal numbers. `modes` are of "forward",
    "forward+backward", and "update" for a call in training that has no gradient.
    """

    id: str
    config: dict[str, Any]
    shape: tuple[int, ...]
    builtin: Callable[[tuple[int, ...]], Any]
    torch: Callable[[], Any]
    peer: str
    channels_first: bool = False
    host: Callable[[], Callable[[Any], Any]] | None = None
    inputs: Callable[[tuple[int, ...]], Any] | None = None
    modes: tuple[str, ...] = ("forward", "forward+backward")


def functional(build: Callable[[Any], Any]) -> Callable[[tuple[int, ...]], Any]:
    """A Keras model from a function of its symbolic input."""

    def make(shape: tuple[int, ...]) -> Any:
        inputs = keras.Input(batch_shape=shape)
        return keras.Model(inputs, build(inputs))

    return make


class Peer(layers.Layer):
    """A stateless piece of a peer, which a functional model needs as a layer."""

    def __init__(self, function: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, *inputs: Any) -> Any:
        """Apply the function."""
        return self.function(*inputs)


class Response(layers.Layer):
    """GRN as its paper writes it."""

    def build(self, shape: Any) -> None:
        """Create gamma and beta."""
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="zeros")
        self.beta = self.add_weight(shape=(shape[-1],), initializer="zeros")

    def call(self, x: Any) -> Any:
        """Normalize the response."""
        g = ops.sqrt(ops.sum(x * x, axis=(1, 2), keepdims=True) + 1e-12)
        n = g / (ops.mean(g, axis=-1, keepdims=True) + 1e-6)
        return self.gamma * (x * n) + self.beta + x


# Convolutional peers from Keras's built-ins


def convnext(x: Any) -> Any:
    y = layers.DepthwiseConv2D(7, padding="same")(x)
    y = layers.Dense(384, activation="gelu")(layers.LayerNormalization(epsilon=1e-6)(y))
    return x + layers.Dense(96)(Response()(y))


def inverted_bottleneck(x: Any) -> Any:
    def normalized(layer: Any, x: Any) -> Any:
        return layers.BatchNormalization()(layer(x))

    y = normalized(layers.DepthwiseConv2D(3, padding="same", use_bias=False), x)
    y = ops.relu(normalized(layers.Conv2D(192, 1, use_bias=False), y))
    y = ops.relu(normalized(layers.DepthwiseConv2D(5, padding="same", use_bias=False), y))
    return x + normalized(layers.Conv2D(48, 1, use_bias=False), y)


def area_attention(x: Any) -> Any:
    def conv(filters: int, x: Any) -> Any:
        return layers.BatchNormalization()(layers.Conv2D(filters, 1, use_bias=False)(x))

    def attention(qkv: Any) -> Any:
        q, k, v = ops.unstack(ops.reshape(qkv, (-1, 64, 4, 3, 32)), 3, axis=3)
        return ops.reshape(ops.dot_product_attention(q, k, v), (-1, 16, 16, 128))

    def values(qkv: Any) -> Any:
        return ops.reshape(ops.reshape(qkv, (-1, 64, 4, 3, 32))[:, :, :, 2], (-1, 16, 16, 128))

    qkv = conv(384, x)
    position = layers.DepthwiseConv2D(7, padding="same", use_bias=False)(Peer(values)(qkv))
    position = layers.BatchNormalization()(position)
    return conv(128, Peer(attention)(qkv) + position)


# Attention peers from Keras's built-ins


def grouped(kv_heads: int) -> Callable[[tuple[int, ...]], Any]:
    return functional(lambda x: layers.GroupQueryAttention(32, 8, kv_heads, use_bias=False)(x, x))


def windows(x: Any) -> Any:
    return layers.MultiHeadAttention(3, 32)(x, x)


def swin(x: Any) -> Any:
    def partition(x: Any) -> Any:
        x = ops.roll(x, (-3, -3), axis=(1, 2))
        x = ops.reshape(x, (-1, 4, 7, 4, 7, 96))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, 49, 96))

    def merge(x: Any) -> Any:
        x = ops.transpose(ops.reshape(x, (-1, 4, 4, 7, 7, 96)), (0, 1, 3, 2, 4, 5))
        return ops.roll(ops.reshape(x, (-1, 28, 28, 96)), (3, 3), axis=(1, 2))

    y = Peer(partition)(layers.LayerNormalization(epsilon=1e-5)(x))
    x = x + Peer(merge)(windows(y))
    y = layers.Dense(384, activation="gelu")(layers.LayerNormalization(epsilon=1e-5)(x))
    return x + layers.Dense(96)(y)


def differential(x: Any) -> Any:
    def attention(x: Any) -> Any:
        return layers.MultiHeadAttention(4, 32, use_bias=False)(x, x)

    return attention(x) - 0.8 * attention(x)


def swiglu(x: Any) -> Any:
    gate = layers.Dense(704, activation="silu", use_bias=False)(x)
    return layers.Dense(256, use_bias=False)(gate * layers.Dense(704, use_bias=False)(x))


def rms_norm(x: Any) -> Any:
    return layers.RMSNormalization()(x)


def rotary(shape: tuple[int, ...]) -> Any:
    angle = ops.outer(
        ops.arange(shape[1], dtype="float32"), 10000.0 ** -(ops.arange(32, dtype="float32") / 32)
    )
    cos, sin = ops.cos(angle)[:, None], ops.sin(angle)[:, None]

    def rotate(x: Any) -> Any:
        even, odd = x[..., ::2], x[..., 1::2]
        pairs = ops.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
        return ops.reshape(pairs, (-1, *shape[1:]))

    return Peer(rotate)


# Peers in torch


def torch_grouped(kv_heads: int) -> Any:
    from torch import nn

    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.o = nn.Linear(256, 256, False), nn.Linear(256, 256, False)
            self.kv = nn.Linear(256, 2 * 32 * kv_heads, False)

        def forward(self, x: Any) -> Any:
            q = self.q(x).unflatten(-1, (8, 32)).transpose(1, 2)
            k, v = self.kv(x).unflatten(-1, (2, kv_heads, 32)).permute(2, 0, 3, 1, 4)
            y = nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
            return self.o(y.transpose(1, 2).flatten(2))

    return Grouped()


def torch_area() -> Any:
    from torch import nn

    def conv(c_in: int, c_out: int, k: int = 1, groups: int = 1) -> Any:
        padding = k // 2
        return nn.Sequential(
            nn.Conv2d(c_in, c_out, k, 1, padding, groups=groups, bias=False),
            nn.BatchNorm2d(c_out, eps=1e-3, momentum=0.03),
        )

    class Area(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.proj = conv(128, 384), conv(128, 128)
            self.pe = conv(128, 128, 7, 128)

        def forward(self, x: Any) -> Any:
            qkv = self.qkv(x).flatten(2).transpose(1, 2).reshape(-1, 64, 4, 3, 32)
            q, k, v = (t.transpose(1, 2) for t in qkv.unbind(3))
            y = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
            maps = [
                t.reshape(-1, 256, 128).transpose(1, 2).unflatten(2, (16, 16))
                for t in (y, v.transpose(1, 2))
            ]
            return self.proj(maps[0] + self.pe(maps[1]))

    return Area()


def torch_rotary() -> Any:
    from rotary_embedding_torch import RotaryEmbedding
    from torch import nn

    class Rotary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rotary = RotaryEmbedding(64)

        def forward(self, x: Any) -> Any:
            return self.rotary.rotate_queries_or_keys(x, seq_dim=-3)

    return Rotary()


def timm_convnext() -> Any:
    from timm.models.convnext import ConvNeXtBlock

    return ConvNeXtBlock(96, use_grn=True, ls_init_value=None)


def timm_inverted_bottleneck() -> Any:
    from timm.models._efficientnet_blocks import UniversalInvertedResidual

    return UniversalInvertedResidual(48, 48, 3, 5, exp_ratio=4.0, layer_scale_init_value=None)


def timm_window() -> Any:
    from timm.models.swin_transformer import WindowAttention

    return WindowAttention(96, 3, window_size=7)


def timm_swin() -> Any:
    from timm.models.swin_transformer import SwinTransformerBlock

    return SwinTransformerBlock(96, (28, 28), 3, window_size=7, shift_size=3)


def timm_differential() -> Any:
    from timm.layers.diff_attention import DiffAttention

    return DiffAttention(256, num_heads=4)


def timm_swiglu() -> Any:
    from timm.layers import SwiGLU

    return SwiGLU(256, 704, bias=False)


def torch_rms_norm() -> Any:
    import torch

    return torch.nn.RMSNorm(384, eps=1e-6)


NAMES = {
    "GroupQueryAttention": Case(
        "dl_techniques>GroupQueryAttention",
        {"num_heads": 8, "num_kv_heads": 2},
        (2, 256, 256),
        grouped(2),
        lambda: torch_grouped(2),
        "scaled_dot_product_attention | keras GroupQueryAttention",
    ),
    "GroupQueryAttention-1-kv": Case(
        "dl_techniques>GroupQueryAttention",
        {"num_heads": 8, "num_kv_heads": 1},
        (2, 256, 256),
        grouped(1),
        lambda: torch_grouped(1),
        "scaled_dot_product_attention | keras GroupQueryAttention",
    ),
    "WindowAttention": Case(
        "dl_techniques>WindowAttention",
        {"window_size": 7, "num_heads": 3},
        (32, 49, 96),
        functional(windows),
        timm_window,
        "timm WindowAttention | keras MultiHeadAttention without a relative bias",
    ),
    "SwinTransformerBlock": Case(
        "dl_techniques>SwinTransformerBlock",
        {"dim": 96, "num_heads": 3, "window_size": 7, "shift_size": 3},
        (2, 28, 28, 96),
        functional(swin),
        timm_swin,
        "timm SwinTransformerBlock | keras built-ins without relative bias and shift mask",
    ),
    "DifferentialAttention": Case(
        "dl_techniques>DifferentialAttention",
        {"num_heads": 4},
        (2, 256, 256),
        functional(differential),
        timm_differential,
        "timm DiffAttention | two keras MultiHeadAttention, values half as wide",
    ),
    "ConvNeXtV2Block": Case(
        "dl_techniques>ConvNeXtV2Block",
        {},
        (2, 28, 28, 96),
        functional(convnext),
        timm_convnext,
        "timm ConvNeXtBlock | keras built-ins",
        channels_first=True,
    ),
    "RMSNorm": Case(
        "dl_techniques>RMSNorm",
        {},
        (8, 256, 384),
        functional(rms_norm),
        torch_rms_norm,
        "torch.nn.RMSNorm | keras RMSNormalization",
    ),
    "SwiGLUFFN": Case(
        "dl_techniques>SwiGLUFFN",
        {"hidden_dim": 704},
        (4, 128, 256),
        functional(swiglu),
        timm_swiglu,
        "timm SwiGLU | three keras Dense",
    ),
    "RotaryPositionEmbedding": Case(
        "dl_techniques>RotaryPositionEmbedding",
        {"head_dim": 64},
        (2, 256, 8, 64),
        rotary,
        torch_rotary,
        "rotary-embedding-torch | the formula in keras.ops",
    ),
    "AreaAttention": Case(
        "dl_techniques>AreaAttention",
        {"num_heads": 4, "area": 4},
        (2, 16, 16, 128),
        functional(area_attention),
        torch_area,
        "torch.nn modules | keras built-ins",
        channels_first=True,
    ),
    "UIB": Case(
        "dl_techniques>UIB",
        {"filters": 48, "start_dw_kernel_size": 3, "middle_dw_kernel_size": 5},
        (2, 28, 28, 48),
        functional(inverted_bottleneck),
        timm_inverted_bottleneck,
        "timm UniversalInvertedResidual | keras built-ins",
        channels_first=True,
    ),
}
