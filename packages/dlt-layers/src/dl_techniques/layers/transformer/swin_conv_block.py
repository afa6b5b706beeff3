"""Convolution and window attention side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    InitializerLike,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.parts import fresh_initializer
from dl_techniques.layers.same_shape import SameShape
from dl_techniques.layers.transformer.swin_transformer_block import SwinTransformerBlock


@component(
    "dl_techniques>SwinConvBlock",
    kind="layer",
    tags=("transformer", "convolution", "vision", "restoration"),
    paper="arXiv:2203.13278",
    since="0.1",
)
class SwinConvBlock(SameShape, ChannelsLastLayer):
    """Swin-conv block of SCUNet: half of the channels convolve, half attend within windows.

    a, t = split(conv1x1(x)); y = x + conv1x1([a + conv3x3(relu(conv3x3(a))), swin(t)]),
    where the 3 x 3 convolutions have no bias and swin is a `SwinTransformerBlock`.

    Args:
        conv_dim: Channels that convolve.
        trans_dim: Channels that attend; the input has `conv_dim + trans_dim`.
        head_dim: Width of a head; divides `trans_dim`.
        window_size: Side of a window.
        drop_path: Probability that a branch of the Swin block is dropped for a sample.
        block_type: `"W"`, or `"SW"` for windows shifted by half a window.
        input_resolution: Height and width of the image, or one number for both: if it is at most
            a window, `"SW"` becomes `"W"`. Without it, the image itself decides for each side.
        qkv_bias: Whether queries, keys and values have biases.
        kernel_initializer: Initializer of the convolutions.
        kernel_regularizer: Regularizer of the convolutions.
        seed: Seed of the drop paths.
        always_shift: Whether a side that is one window shifts too, as in the published network.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, conv_dim + trans_dim)`; height and width may be any, and unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If a number is out of range, the widths do not divide, or the input has other
            channels.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import SwinConvBlock
        >>> layer = SwinConvBlock(4, 4, head_dim=2, window_size=2, block_type="SW")
        >>> tuple(layer(keras.ops.ones((2, 3, 5, 8))).shape)
        (2, 3, 5, 8)

    References:
        Zhang et al., "Practical Blind Image Denoising via Swin-Conv-UNet and Data Synthesis",
        arXiv:2203.13278.
    """

    def __init__(
        self,
        conv_dim: Count,
        trans_dim: Count,
        head_dim: Count = 32,
        window_size: Count = 8,
        drop_path: float = 0.0,
        block_type: Literal["W", "SW"] = "W",
        input_resolution: int | Sequence[int] | None = None,
        qkv_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        kernel_regularizer: RegularizerLike | None = None,
        seed: int | None = None,
        always_shift: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if trans_dim % head_dim:
            raise ValueError(
                "`head_dim` must divide `trans_dim`. "
                f"Received: trans_dim={trans_dim}, head_dim={head_dim}"
            )
        self.conv_dim = conv_dim
        self.trans_dim = trans_dim
        self.head_dim = head_dim
        self.window_size = window_size
        self.drop_path = drop_path
        self.block_type = block_type
        self.qkv_bias = qkv_bias
        self.input_resolution = (
            input_resolution
            if input_resolution is None or isinstance(input_resolution, int)
            else tuple(input_resolution)
        )
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.seed = seed
        self.always_shift = always_shift
        sides = self.input_resolution
        smallest = min(sides) if isinstance(sides, tuple) else sides
        shifts = block_type == "SW" and (smallest is None or smallest > window_size)
        self.transformer = SwinTransformerBlock(
            trans_dim,
            trans_dim // head_dim,
            window_size=window_size,
            shift_size=window_size // 2 if shifts else 0,
            qkv_bias=qkv_bias,
            drop_path=drop_path,
            seed=seed,
            always_shift=always_shift,
            data_format=self.data_format,
            dtype=self.dtype_policy,
            name="transformer",
        )
        self.mix_in = self._conv(conv_dim + trans_dim, 1, "mix_in")
        self.mix_out = self._conv(conv_dim + trans_dim, 1, "mix_out")
        self.conv1 = self._conv(conv_dim, 3, "conv1")
        self.conv2 = self._conv(conv_dim, 3, "conv2")

    def build(self, input_shape: Shape) -> None:
        """Build the convolutions and the Swin block."""
        channels = channels_of(input_shape)
        if channels != self.conv_dim + self.trans_dim:
            raise ValueError(
                "The input must have `conv_dim + trans_dim` channels. Received: "
                f"conv_dim={self.conv_dim}, trans_dim={self.trans_dim}, "
                f"input_shape={tuple(input_shape)}"
            )
        sides = (None, None, None)
        self.mix_in.build((*sides, channels))
        self.mix_out.build((*sides, channels))
        self.conv1.build((*sides, self.conv_dim))
        self.conv2.build((*sides, self.conv_dim))
        self.transformer.build((*sides, self.trans_dim))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Mix, convolve and attend, mix."""
        x = self.mix_in(inputs)
        a, t = x[..., : self.conv_dim], x[..., self.conv_dim :]
        a = a + self.conv2(ops.relu(self.conv1(a)))
        t = self.transformer(t, training=training)
        return inputs + self.mix_out(ops.concatenate([a, t], axis=-1))

    def _conv(self, filters: int, side: int, name: str) -> keras.layers.Conv2D:
        return keras.layers.Conv2D(
            filters,
            side,
            padding="same",
            use_bias=side == 1,
            data_format="channels_last",
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Shifted windows on an image that they do not divide."""
        config = {"conv_dim": 4, "trans_dim": 4, "head_dim": 2, "window_size": 2, "qkv_bias": False}
        shifted = {**config, "block_type": "SW"}
        yield Example(cls, shifted, TensorSpec((2, 3, 5, 8)), name="shifted")
        plain = {"conv_dim": 4, "trans_dim": 32}
        dead = ("transformer/attention/key/bias",)
        yield Example(cls, plain, TensorSpec((2, 8, 8, 36)), dead=dead)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers out of range, an unknown type, other channels."""
        good = {"conv_dim": 4, "trans_dim": 4, "head_dim": 2}
        yield Rejection(cls, {**good, "head_dim": 3}, "head_dim")
        yield Rejection(cls, {**good, "drop_path": -1.0}, "drop_path")
        yield Rejection(cls, good, "conv_dim", build=(None, 8, 8, 9))
