"""Multi-query attention over images with its norm, gain and residual."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from dl_techniques.core import Example, Fraction, Rejection, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.arguments import require_numbers
from dl_techniques.layers.attention.mobile_mqa import MobileMQA
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer
from dl_techniques.layers.layer_scale import LayerScale
from dl_techniques.layers.norm_choice import choose_norm
from dl_techniques.layers.parts import build_part, call_part
from dl_techniques.layers.stochastic_depth import StochasticDepth


@component(
    "dl_techniques>MobileMQABlock",
    kind="layer",
    tags=("attention", "vision", "mobile"),
    paper="arXiv:2404.10518",
    since="0.1",
)
class MobileMQABlock(ChannelsLastLayer):
    """Attention block of MobileNetV4: `MobileMQA` as a residual, after a norm.

    y = x + DropPath(gamma * MQA(norm(x))), gamma one number a channel.

    Args:
        num_heads: Number of heads.
        key_dim: Width of a head's queries and keys.
        value_dim: Width of a head's values.
        kv_strides: Stride of the keys and values on both axes.
        layer_scale_init: Initial gamma; `None` for no gamma.
        drop_path: Probability that a sample skips the branch at training.
        dropout: Rate of dropped attention weights in training.
        norm: What normalizes before attention, and after striding: `"batch"`, `"layer"`, `"rms"`,
            `"none"`, or anything that names or is a layer.
        norm_epsilon: Epsilon of a norm that is chosen by name.
        kernel_initializer: Initializer of all kernels.
        kernel_regularizer: Regularizer of all kernels.
        seed: Seed of all dropouts.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import MobileMQABlock
        >>> layer = MobileMQABlock(num_heads=2, key_dim=4, value_dim=3, kv_strides=2)
        >>> tuple(layer(keras.ops.ones((2, 3, 4, 6))).shape)
        (2, 3, 4, 6)

    References:
        Qin et al., "MobileNetV4: Universal Models for the Mobile Ecosystem", arXiv:2404.10518.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int = 64,
        value_dim: int = 64,
        kv_strides: int = 1,
        layer_scale_init: float | None = None,
        drop_path: Fraction = 0.0,
        dropout: float = 0.0,
        norm: Any = "batch",
        norm_epsilon: float = 1e-5,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if layer_scale_init is not None:
            require_numbers(layer_scale_init=layer_scale_init)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.kv_strides = kv_strides
        self.layer_scale_init = layer_scale_init
        self.drop_path = drop_path
        self.dropout = dropout
        self.norm = norm
        self.norm_epsilon = norm_epsilon
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.seed = seed
        self.norm_layer = choose_norm(norm, epsilon=norm_epsilon, dtype=self.dtype_policy)
        self.attention = MobileMQA(
            num_heads,
            key_dim,
            value_dim,
            kv_strides=kv_strides,
            dropout=dropout,
            norm=norm,
            kernel_initializer=self.kernel_initializer,
            kernel_regularizer=self.kernel_regularizer,
            seed=seed,
            data_format=self.data_format,
            dtype=self.dtype_policy,
            name="attention",
        )

    def build(self, input_shape: Shape) -> None:
        """Build norm, attention and gamma."""
        build_part(self.norm_layer, input_shape)
        self.attention.build(input_shape)
        self.layer_scale: Any = None
        if self.layer_scale_init is not None:
            self.layer_scale = LayerScale(
                initializer=keras.initializers.Constant(self.layer_scale_init),
                dtype=self.dtype_policy,
            )
            self.layer_scale.build(input_shape)
        self.stochastic_depth: Any = None
        if self.drop_path:
            self.stochastic_depth = StochasticDepth(
                self.drop_path, self.seed, dtype=self.dtype_policy
            )
            self.stochastic_depth.build(input_shape)
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Add what attention gives to the input."""
        x = self.attention(call_part(self.norm_layer, inputs, training), training=training)
        if self.layer_scale is not None:
            x = self.layer_scale(x)
        if self.stochastic_depth is not None:
            x = self.stochastic_depth(x, training=training)
        return inputs + x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The defaults, a smaller image of keys, and all the rest."""
        config = {"num_heads": 2, "key_dim": 4, "value_dim": 3}
        images = TensorSpec((2, 3, 4, 6))
        batch = frozenset({"changes_in_training"})
        yield Example(cls, {"num_heads": 2}, images, traits=batch)
        # Softmax is blind to a shift of all keys, and so to the bias of their norm.
        yield Example(cls, {**config, "kv_strides": 2, "norm": "rms"}, images, name="strided")
        scaled = {"layer_scale_init": 0.5, "drop_path": 0.5, "norm": "layer"}
        yield Example(
            cls, {**config, **scaled}, images, traits=frozenset({"stochastic"}), name="scaled"
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid sizes, an unknown norm."""
        yield Rejection(cls, {"num_heads": 0}, "num_heads")
        yield Rejection(cls, {"num_heads": 2, "kv_strides": 0}, "kv_strides")
        yield Rejection(cls, {"num_heads": 2, "norm": "no_such"}, "norm")
        yield Rejection(cls, {"num_heads": 2, "layer_scale_init": "small"}, "layer_scale_init")
