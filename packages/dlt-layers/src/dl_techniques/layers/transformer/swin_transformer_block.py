"""The block of Swin transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Fraction,
    PositiveNumber,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    resolve,
)
from dl_techniques.layers.arguments import (
    require_pair,
)
from dl_techniques.layers.attention.window_attention import WindowAttention
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.norm_choice import choose_norm
from dl_techniques.layers.parts import build_part, call_part, offset_seed
from dl_techniques.layers.same_shape import SameShape
from dl_techniques.layers.stochastic_depth import StochasticDepth


@component(
    "dl_techniques>SwinTransformerBlock",
    kind="layer",
    tags=("transformer", "attention", "vision"),
    paper="arXiv:2103.14030",
    since="0.1",
)
class SwinTransformerBlock(SameShape, ChannelsLastLayer):
    """Swin transformer block: attention within windows, which may be shifted, and an MLP.

    x <- x + drop((S)W-MSA(norm_1(x))), x <- x + drop(MLP(norm_2(x)))

    The normalized image is padded with zeros, at the bottom and on the right, to whole windows,
    then rolled by the shift and cut into windows. A window of a rolled image may hold up to four
    parts that are no neighbours; they do not see each other. A side that is one window does not
    shift. As in the reference implementations, padding is seen unless `mask_padding`.

    Args:
        dim: Channels of the image; `None` to take them from the input.
        num_heads: Number of heads; divides the channels.
        window_size: Side of a window, one number or (height, width).
        shift_size: How far the windows are shifted, one number or two, below the window's side.
        mlp_ratio: Hidden width of the MLP, as a multiple of the channels.
        qkv_bias: Whether queries, keys and values have biases; the output always has.
        qk_scale: Factor of the products of queries and keys; `None` for 1 / sqrt(head width).
        dropout: Rate of dropout after attention and in the MLP.
        attention_dropout: Rate of dropped attention weights in training.
        drop_path: Probability that a branch is dropped for a sample in training.
        norm: Normalization: `"layer"`, `"rms"`, `"none"`, or anything that names or is a layer.
        norm_epsilon: Epsilon of a norm that is chosen by name.
        activation: Activation of the MLP, if its class takes one.
        ffn: The MLP: a name such as `"SwinMLP"`, which is given `hidden_dim`, `activation` and
            `dropout` as far as it takes them; or a configuration or layer.
        mask_padding: Whether padding is hidden from attention.
        seed: Seed of all dropouts.
        always_shift: Whether a side that is one window shifts too, as in SCUNet.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be any, and unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If an argument is out of range, the shift is no smaller than the window, or
            the channels are others than `dim`.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import SwinTransformerBlock
        >>> layer = SwinTransformerBlock(4, num_heads=2, window_size=2, shift_size=1, mlp_ratio=2.0)
        >>> tuple(layer(keras.ops.ones((2, 5, 4, 4))).shape)
        (2, 5, 4, 4)

    References:
        Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
        arXiv:2103.14030.
    """

    def __init__(
        self,
        dim: Count | None,
        num_heads: int,
        window_size: int | Sequence[int] = 7,
        shift_size: int | Sequence[int] = 0,
        mlp_ratio: PositiveNumber = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: Fraction = 0.0,
        norm: Any = "layer",
        norm_epsilon: PositiveNumber = 1e-5,
        activation: ActivationLike | None = "gelu",
        ffn: Any = "SwinMLP",
        mask_padding: bool = False,
        seed: int | None = None,
        always_shift: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.num_heads = num_heads
        self._window = require_pair(window_size=window_size)
        self._shift = require_pair(0, shift_size=shift_size)
        self.window_size = window_size if isinstance(window_size, int) else tuple(window_size)
        self.shift_size = shift_size if isinstance(shift_size, int) else tuple(shift_size)
        self.mlp_ratio = mlp_ratio
        self.qkv_bias = qkv_bias
        self.qk_scale = qk_scale
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.drop_path = drop_path
        self.norm = norm
        self.norm_epsilon = norm_epsilon
        self.activation = activation
        self.ffn = ffn
        self.mask_padding = mask_padding
        self.seed = seed
        self.always_shift = always_shift
        self.attention = WindowAttention(
            self.window_size,
            num_heads,
            qkv_bias=qkv_bias,
            qk_scale=qk_scale,
            attention_dropout=attention_dropout,
            projection_dropout=dropout,
            seed=seed,
            dtype=self.dtype_policy,
            name="attention",
        )
        for side, shift in zip(self._window, self._shift, strict=True):
            if shift >= side:
                raise ValueError(
                    "`shift_size` must be smaller than `window_size`. Received: "
                    f"shift_size={shift_size}, window_size={window_size}"
                )
        self.norm1, self.norm2 = (
            choose_norm(norm, epsilon=norm_epsilon, dtype=self.dtype_policy) for _ in range(2)
        )
        self.drop_paths = [
            StochasticDepth(drop_path, seed=offset_seed(seed, i), dtype=self.dtype_policy)
            for i in range(2)
        ]

    def build(self, input_shape: Shape) -> None:
        """Build attention, MLP and norms."""
        channels = channels_of(input_shape)
        if self.dim not in {None, channels}:
            raise ValueError(
                "The input must have `dim` channels. "
                f"Received: dim={self.dim}, input_shape={tuple(input_shape)}"
            )
        self.attention.build((None, None, channels))
        self.ffn_layer = resolve(
            self.ffn,
            kind="layer",
            argument="ffn",
            hidden_dim=int(channels * self.mlp_ratio),
            activation=self.activation,
            dropout=self.dropout,
            seed=offset_seed(self.seed, 2),
            dtype=self.dtype_policy,
        )
        for part in (self.norm1, self.norm2, self.ffn_layer):
            build_part(part, input_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Attend within windows, then transform each token."""
        first, second = self.drop_paths
        y = self._windows(call_part(self.norm1, inputs, training), training)
        x = inputs + first(y, training=training)
        y = call_part(self.ffn_layer, call_part(self.norm2, x, training), training)
        return x + second(y, training=training)

    def _windows(self, x: Tensor, training: bool | None) -> Tensor:
        """Pad, roll, cut, attend, and all the way back."""
        batch, height, width, channels = ops.shape(x)
        rows, columns = self._window
        bottom, right = -height % rows, -width % columns
        padded = (height + bottom, width + right)
        x = ops.pad(x, ((0, 0), (0, bottom), (0, right), (0, 0)))
        shifts = tuple(
            shift if self.always_shift else _shift_of(size, side, shift)
            for size, side, shift in zip(padded, (rows, columns), self._shift, strict=True)
        )
        rolls = any(not isinstance(shift, int) or shift > 0 for shift in shifts)
        if rolls:
            x = ops.roll(x, tuple(-shift for shift in shifts), axis=(1, 2))
        grid = (padded[0] // rows, padded[1] // columns)
        cut = ops.reshape(x, (batch, grid[0], rows, grid[1], columns, channels))
        cut = ops.transpose(cut, (0, 1, 3, 2, 4, 5))
        tokens = ops.reshape(cut, (batch * grid[0] * grid[1], rows * columns, channels))
        mask = self._mask((height, width), padded, shifts) if rolls or self.mask_padding else None
        tokens = self.attention(tokens, mask=mask, training=training)
        cut = ops.reshape(tokens, (batch, grid[0], grid[1], rows, columns, channels))
        x = ops.reshape(ops.transpose(cut, (0, 1, 3, 2, 4, 5)), (batch, *padded, channels))
        if rolls:
            x = ops.roll(x, shifts, axis=(1, 2))
        return x[:, :height, :width]

    def _mask(self, sizes: Any, padded: Any, shifts: Any) -> Tensor:
        """Return which tokens of each window see each other, (windows, N, N)."""
        sides = self._window
        regions, real = [], []
        for size, whole, side, shift in zip(sizes, padded, sides, shifts, strict=True):
            i = ops.arange(whole)
            before_last, wrapped = i >= whole - side, i >= whole - shift
            regions.append(ops.cast(before_last, "int32") + ops.cast(wrapped, "int32"))
            # The earlier place of the rolled token.
            real.append((i + shift) % whole < size)
        region = _cut(3 * regions[0][:, None] + regions[1][None, :], sides)
        seen = region[:, :, None] == region[:, None, :]
        if self.mask_padding:
            tokens = _cut(ops.logical_and(real[0][:, None], real[1][None, :]), sides)
            seen = ops.logical_and(seen, tokens[:, None, :])
        return seen

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Whole windows, and shifted ones on an image that they do not divide."""
        config = {"dim": None, "num_heads": 2, "mlp_ratio": 2.0, "qkv_bias": False}
        plain, dead = {"dim": 4, "num_heads": 2}, ("attention/key/bias",)
        yield Example(cls, plain, TensorSpec((2, 7, 7, 4)), dead=dead)
        yield Example(
            cls,
            {**config, "window_size": 3, "shift_size": 1, "norm": "rms", "mask_padding": True},
            TensorSpec((2, 5, 4, 4)),
            name="shifted",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers out of range, shifts that are too far, other channels."""
        good = {"dim": 8, "num_heads": 2}
        yield Rejection(cls, {**good, "num_heads": 0}, "num_heads")
        yield Rejection(cls, {**good, "window_size": 0}, "window_size")
        yield Rejection(cls, {**good, "shift_size": 7}, "shift_size")
        yield Rejection(cls, {**good, "shift_size": -1}, "shift_size")
        yield Rejection(cls, {**good, "norm": "no_such"}, "norm")
        yield Rejection(cls, good, "dim", build=(None, 7, 7, 4))


def _shift_of(size: Any, side: int, shift: int) -> Any:
    """Return the shift on a side; 0 if the whole side is one window."""
    if shift == 0 or isinstance(size, int):
        return shift if shift and size > side else 0
    return ops.where(size > side, shift, 0)


def _cut(image: Tensor, sides: tuple[int, int]) -> Tensor:
    """(H, W) as (windows, N)."""
    height, width = ops.shape(image)
    rows, columns = sides
    x = ops.reshape(image, (height // rows, rows, width // columns, columns))
    windows = height // rows * (width // columns)
    return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (windows, rows * columns))
