"""The block of convolutional vision transformers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras
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
from dl_techniques.layers.attention.attend import attend
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.conv.depthwise import DepthwiseConvolution
from dl_techniques.layers.norm_choice import choose_norm
from dl_techniques.layers.parts import build_part, call_part, offset_seed
from dl_techniques.layers.same_shape import SameShape
from dl_techniques.layers.stochastic_depth import StochasticDepth

_ROLES = ("query", "key", "value")


@component(
    "dl_techniques>ConvolutionalTransformerBlock",
    kind="layer",
    tags=("transformer", "convolution", "attention", "vision"),
    paper="arXiv:2103.15808",
    since="0.1",
)
class ConvolutionalTransformerBlock(SameShape, ChannelsLastLayer):
    """Block of the convolutional vision transformer (CvT), on a map of tokens.

    x <- x + drop(MHA(norm_1(x))), x <- x + drop(MLP(norm_2(x)))

    With `projection="conv"` queries, keys and values each come from a depthwise convolution with
    batch normalization (epsilon 1e-5), followed by a linear map; keys and values with stride
    `kv_strides`. With `"linear"` they come from the linear maps alone, which makes it a vision
    transformer's block on the flattened map.

    Args:
        num_heads: Number of heads; divides the channels.
        kernel_size: Side of the depthwise convolutions.
        kv_strides: Stride of the convolutions of keys and values.
        mlp_ratio: Hidden width of the MLP, as a multiple of the channels.
        qkv_bias: Whether queries, keys and values have biases; the output always has.
        dropout: Rate of dropout after attention and in the MLP.
        attention_dropout: Rate of dropped attention weights in training.
        drop_path: Probability that a branch is dropped for a sample in training.
        projection: `"conv"` or `"linear"`.
        scale: Factor of the products of queries and keys. `None` for 1 / sqrt(channels) with
            convolutions, as in the authors' code, and 1 / sqrt(head width) without.
        norm: Normalization: `"layer"`, `"rms"`, `"none"`, or anything that names or is a layer.
        norm_epsilon: Epsilon of a norm that is chosen by name.
        activation: Activation of the MLP, if its class takes one.
        ffn: The MLP: a name such as `"MLPBlock"`, which is given `hidden_dim`, `activation` and
            `dropout` as far as it takes them; or a configuration or layer.
        seed: Seed of all dropouts.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If an argument is out of range, or the heads do not divide the channels.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import ConvolutionalTransformerBlock
        >>> layer = ConvolutionalTransformerBlock(num_heads=2, mlp_ratio=1.0)
        >>> tuple(layer(keras.ops.ones((2, 3, 4, 4))).shape)
        (2, 3, 4, 4)

    References:
        Wu et al., "CvT: Introducing Convolutions to Vision Transformers", arXiv:2103.15808.
    """

    def __init__(
        self,
        num_heads: Count,
        kernel_size: Count = 3,
        kv_strides: Count = 2,
        mlp_ratio: PositiveNumber = 4.0,
        qkv_bias: bool = True,
        dropout: Fraction = 0.0,
        attention_dropout: Fraction = 0.0,
        drop_path: Fraction = 0.0,
        projection: Literal["conv", "linear"] = "conv",
        scale: PositiveNumber | None = None,
        norm: Any = "layer",
        norm_epsilon: PositiveNumber = 1e-5,
        activation: ActivationLike | None = "gelu",
        ffn: Any = "MLPBlock",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.kernel_size = kernel_size
        self.kv_strides = kv_strides
        self.mlp_ratio = mlp_ratio
        self.qkv_bias = qkv_bias
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.drop_path = drop_path
        self.projection = projection
        self.scale = scale
        self.norm = norm
        self.norm_epsilon = norm_epsilon
        self.activation = activation
        self.ffn = ffn
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if attention_dropout > 0 else None
        self.norm1, self.norm2 = (
            choose_norm(norm, epsilon=norm_epsilon, dtype=self.dtype_policy) for _ in range(2)
        )
        self.drop_paths = [
            StochasticDepth(drop_path, seed=offset_seed(seed, i), dtype=self.dtype_policy)
            for i in range(2)
        ]
        self.attention_drop = keras.layers.Dropout(
            dropout, seed=offset_seed(seed, 2), dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape) -> None:
        """Build convolutions, linear maps, MLP and norms."""
        channels = channels_of(input_shape)
        if channels % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the channels. "
                f"Received: num_heads={self.num_heads}, input_shape={tuple(input_shape)}"
            )
        image = (None, None, None, channels)
        self.convs: list[DepthwiseConvolution] = []
        self.conv_norms: list[keras.layers.BatchNormalization] = []
        if self.projection == "conv":
            for name in _ROLES:
                conv = DepthwiseConvolution(
                    self.kernel_size,
                    strides=1 if name == "query" else self.kv_strides,
                    use_bias=False,
                    dtype=self.dtype_policy,
                    name=f"{name}_conv",
                )
                norm = keras.layers.BatchNormalization(
                    epsilon=1e-5, dtype=self.dtype_policy, name=f"{name}_norm"
                )
                conv.build(image)
                norm.build(image)
                self.convs.append(conv)
                self.conv_norms.append(norm)
        self.linears = [
            keras.layers.Dense(
                channels,
                use_bias=self.qkv_bias or name == "output",
                dtype=self.dtype_policy,
                name=name,
            )
            for name in (*_ROLES, "output")
        ]
        self.ffn_layer = resolve(
            self.ffn,
            kind="layer",
            argument="ffn",
            hidden_dim=int(channels * self.mlp_ratio),
            activation=self.activation,
            dropout=self.dropout,
            seed=offset_seed(self.seed, 3),
            dtype=self.dtype_policy,
        )
        for part in (*self.linears, self.norm1, self.norm2, self.ffn_layer):
            build_part(part, input_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Attend, then transform each token."""
        first, second = self.drop_paths
        y = self._attention(call_part(self.norm1, inputs, training), training)
        x = inputs + first(self.attention_drop(y, training=training), training=training)
        y = call_part(self.ffn_layer, call_part(self.norm2, x, training), training)
        return x + second(y, training=training)

    def _attention(self, x: Tensor, training: bool | None) -> Tensor:
        q, k, v = (self._heads(x, i, training) for i in range(3))
        scale = self.scale
        if scale is None and self.projection == "conv":
            scale = x.shape[-1] ** -0.5
        output = attend(
            q,
            k,
            v,
            scale=scale,
            dropout=self.attention_dropout,
            seed=self.seed_generator,
            training=training,
        )
        return self.linears[3](ops.reshape(output, ops.shape(x)))

    def _heads(self, x: Tensor, role: int, training: bool | None) -> Tensor:
        """Queries, keys or values, (B, tokens, H, d)."""
        if self.convs:
            x = self.conv_norms[role](self.convs[role](x), training=training)
        batch, height, width, channels = ops.shape(x)
        shape = (batch, height * width, self.num_heads, channels // self.num_heads)
        return ops.reshape(self.linears[role](x), shape)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Both projections."""
        image = TensorSpec((2, 3, 4, 4))
        config = {"num_heads": 2, "mlp_ratio": 1.0, "qkv_bias": False}
        yield Example(cls, {**config, "projection": "linear"}, image, name="linear")
        # Softmax is blind to a shift of all keys: to the bias of their map and of the norm before.
        traits, dead = frozenset({"couples_batch"}), ("key/bias", "key_norm/beta")
        yield Example(cls, {"num_heads": 2}, image, traits=traits, dead=dead)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers out of range, unknown words, heads that do not divide."""
        yield Rejection(cls, {"num_heads": 2, "norm": "no_such"}, "norm")
        yield Rejection(cls, {"num_heads": 3}, "num_heads", build=(None, 4, 4, 8))
