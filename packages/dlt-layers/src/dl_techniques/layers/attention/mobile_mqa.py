"""Multi-query attention over images, for mobile accelerators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Fraction,
    InitializerLike,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.attention.attend import attend
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.conv.depthwise import DepthwiseConvolution
from dl_techniques.layers.interpolation import resize_bilinear
from dl_techniques.layers.norm_choice import choose_norm
from dl_techniques.layers.parts import build_part, call_part, dense_part, fresh_initializer


@component(
    "dl_techniques>MobileMQA",
    kind="layer",
    tags=("attention", "vision", "mobile"),
    paper="arXiv:2404.10518",
    since="0.1",
)
class MobileMQA(ChannelsLastLayer):
    """Mobile multi-query attention: all heads share one key and value head of a smaller image.

    O = concat_j(softmax((X W_q)_j (SR_k(X) W_k)^T / sqrt(key_dim)) SR_v(X) W_v) W_o

    SR is a depthwise convolution with stride `kv_strides` and a norm, of its own for keys and
    for values; with stride 1 it is left out. With `query_strides` the queries come from the
    average-pooled and normalized image, and the output is enlarged bilinearly before W_o.

    In MobileNetV4 a norm precedes it, and `LayerScale` and a residual follow.

    Args:
        num_heads: Number of heads.
        key_dim: Width of a head's queries and keys.
        value_dim: Width of a head's values.
        filters: Channels of the output; by default those of the input.
        kv_strides: Stride of the keys and values on both axes.
        query_strides: Stride of the queries on both axes; must divide height and width.
        dw_kernel_size: Side of the depthwise convolutions.
        use_bias: Whether the projections have biases.
        dropout: Rate of dropped attention weights in training.
        norm: Normalization after striding: `"batch"`, `"layer"`, `"rms"`, `"none"` (epsilon
            1e-5), or anything that names or is a layer.
        kernel_initializer: Initializer of all kernels.
        kernel_regularizer: Regularizer of all kernels.
        seed: Seed of the dropout.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, height, width, filters)`.

    Raises:
        ValueError: If a size is not positive, or `query_strides` does not divide the image.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import MobileMQA
        >>> layer = MobileMQA(num_heads=2, key_dim=4, value_dim=3, kv_strides=2)
        >>> tuple(layer(keras.ops.ones((2, 3, 4, 6))).shape)
        (2, 3, 4, 6)

    References:
        Qin et al., "MobileNetV4: Universal Models for the Mobile Ecosystem", arXiv:2404.10518.
    """

    def __init__(
        self,
        num_heads: Count,
        key_dim: Count = 64,
        value_dim: Count = 64,
        filters: Count | None = None,
        kv_strides: Count = 1,
        query_strides: Count = 1,
        dw_kernel_size: Count = 3,
        use_bias: bool = False,
        dropout: Fraction = 0.0,
        norm: Any = "batch",
        kernel_initializer: InitializerLike = "glorot_uniform",
        kernel_regularizer: RegularizerLike | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.filters = filters
        self.kv_strides = kv_strides
        self.query_strides = query_strides
        self.dw_kernel_size = dw_kernel_size
        self.use_bias = use_bias
        self.dropout = dropout
        self.norm = norm
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout > 0 else None
        self.query_norm = self._norm() if query_strides > 1 else None
        self.key_norm = self._norm() if kv_strides > 1 else None
        self.value_norm = self._norm() if kv_strides > 1 else None

    def build(self, input_shape: Shape) -> None:
        """Build convolutions, norms and projections."""
        channels = channels_of(input_shape)
        self._require_divisible(input_shape)
        image = (None, None, None, channels)
        self.query_projection = dense_part(self, self.num_heads * self.key_dim, "query", channels)
        self.key_projection = dense_part(self, self.key_dim, "key", channels)
        self.value_projection = dense_part(self, self.value_dim, "value", channels)
        width = self.num_heads * self.value_dim
        self.output_projection = dense_part(self, self.filters or channels, "output", width)
        self.key_reduction = self._reduction("key_reduction", image)
        self.value_reduction = self._reduction("value_reduction", image)
        for norm in (self.query_norm, self.key_norm, self.value_norm):
            build_part(norm, image)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Project, attend, project back."""
        self._require_divisible(inputs.shape)
        query = inputs
        if self.query_strides > 1:
            query = ops.average_pool(
                inputs, self.query_strides, self.query_strides, data_format="channels_last"
            )
            query = call_part(self.query_norm, query, training)
        batch, height, width = ops.shape(query)[:3]
        q = self.query_projection(query)
        q = ops.reshape(q, (batch, height * width, self.num_heads, self.key_dim))
        k = self.key_projection(_reduced(inputs, self.key_reduction, self.key_norm, training))
        v = self.value_projection(_reduced(inputs, self.value_reduction, self.value_norm, training))
        tokens = ops.shape(k)[1] * ops.shape(k)[2]
        k = ops.reshape(k, (batch, tokens, 1, self.key_dim))
        v = ops.reshape(v, (batch, tokens, 1, self.value_dim))
        output = attend(q, k, v, dropout=self.dropout, seed=self.seed_generator, training=training)
        output = ops.reshape(output, (batch, height, width, self.num_heads * self.value_dim))
        if self.query_strides > 1:
            size = (height * self.query_strides, width * self.query_strides)
            output = resize_bilinear(output, size)
        # Products of float64 are float32 in Keras on PyTorch.
        return ops.cast(self.output_projection(output), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The image with `filters` channels."""
        return (*input_shape[:-1], self.filters or input_shape[-1])

    def _norm(self) -> Any:
        return choose_norm(self.norm, epsilon=1e-5, dtype=self.dtype_policy)

    def _reduction(self, name: str, image: Shape) -> DepthwiseConvolution | None:
        if self.kv_strides == 1:
            return None
        layer = DepthwiseConvolution(
            self.dw_kernel_size,
            strides=self.kv_strides,
            use_bias=False,
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build(image)
        return layer

    def _require_divisible(self, shape: Any) -> None:
        if any(isinstance(size, int) and size % self.query_strides for size in shape[1:3]):
            raise ValueError(
                "`query_strides` must divide height and width. Received: "
                f"query_strides={self.query_strides}, input_shape={tuple(shape)}"
            )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A plain one, a smaller image of keys, fewer queries."""
        yield Example(cls, {"num_heads": 2}, TensorSpec((2, 2, 3, 4)))
        config = {"num_heads": 2, "key_dim": 4, "value_dim": 3}
        yield Example(
            cls,
            # Softmax is blind to a shift of all keys, and so to the bias of their norm.
            {**config, "kv_strides": 2, "filters": 5, "norm": "rms"},
            TensorSpec((2, 3, 4, 6)),
            name="kv_strides",
        )
        yield Example(
            cls,
            {**config, "query_strides": 2},
            TensorSpec((2, 2, 4, 6)),
            traits=frozenset({"couples_batch"}),
            name="query_strides",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Sizes that are invalid or do not divide, an unknown norm."""
        yield Rejection(cls, {"num_heads": 2, "norm": "no_such", "kv_strides": 2}, "norm")
        yield Rejection(
            cls, {"num_heads": 2, "query_strides": 2}, "query_strides", build=(None, 5, 4, 8)
        )


def _reduced(
    x: Tensor, reduction: DepthwiseConvolution | None, norm: Any, training: bool | None
) -> Tensor:
    """The image that keys or values are projected from."""
    return x if reduction is None else call_part(norm, reduction(x), training)
