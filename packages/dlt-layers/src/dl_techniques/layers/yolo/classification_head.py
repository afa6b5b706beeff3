"""A head for classification on YOLOv12's features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Fraction,
    InitializerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.conv.channels_last import BATCH_NORMALIZED, channels_of
from dl_techniques.layers.parts import fresh_initializer
from dl_techniques.layers.yolo.composite import Composite
from dl_techniques.layers.yolo.levels import maps_of, shapes_of


@component(
    "dl_techniques>YOLOv12ClassificationHead",
    kind="layer",
    tags=("classification", "vision", "yolo"),
    paper="arXiv:2502.12524",
    since="0.1",
)
class YOLOv12ClassificationHead(Composite):
    """Logits of an image's class from feature maps of several sizes.

    y = W dropout([mean(x_1), max(x_1), mean(x_2), ...]) + b, over the positions of each level;
    the maxima are optional. With `hidden`, the levels, which must then have one size, are first
    joined and go through a pointwise convolution block.

    Args:
        num_classes: Number of classes.
        hidden: Channels of the convolution block (1280 is usual); `None` omits it.
        use_max_pooling: Whether the classifier sees the maxima beside the means.
        dropout: Rate of dropped features in training.
        seed: Seed of the draws of `dropout`.
        activation: Activation of the convolution block; see `ConvBlock`.
        kernel_initializer: Initializer of all kernels.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)` or a list of them; height and width may be unknown.

    Output shape:
        `(batch, num_classes)`.

    Raises:
        ValueError: If a number is not positive, the rate is no probability, or the levels have
            several sizes and are to be joined.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import YOLOv12ClassificationHead
        >>> levels = [keras.ops.ones((2, 4, 6, 8)), keras.ops.ones((2, 2, 3, 16))]
        >>> tuple(YOLOv12ClassificationHead(10)(levels).shape)
        (2, 10)

    References:
        Tian et al., "YOLOv12: Attention-Centric Real-Time Object Detectors", arXiv:2502.12524,
        for the features.
    """

    def __init__(
        self,
        num_classes: Count,
        hidden: Count | None = None,
        use_max_pooling: bool = False,
        dropout: Fraction = 0.0,
        seed: int | None = None,
        activation: ActivationLike | None = "silu",
        kernel_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(activation, kernel_initializer, **kwargs)
        self.num_classes = num_classes
        self.hidden = hidden
        self.use_max_pooling = use_max_pooling
        self.dropout = dropout
        self.seed = seed
        self.conv = None if hidden is None else self._conv(hidden)
        self.drop = (
            keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy) if dropout else None
        )
        self.classify = keras.layers.Dense(
            num_classes,
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Any) -> None:
        """Build the block and the classifier."""
        shapes = shapes_of(input_shape)
        channels = sum(channels_of(shape) for shape in shapes)
        if self.conv is not None:
            if len({shape[1:3] for shape in shapes}) > 1:
                raise ValueError(
                    "With `hidden` all levels must have one height and width. "
                    f"Received: hidden={self.hidden}, input_shape={shapes}"
                )
            self.conv.build((*shapes[0][:-1], channels))
            channels = self.conv.filters
        if self.drop is not None:
            self.drop.build((shapes[0][0], channels))
        self.classify.build((shapes[0][0], channels * (2 if self.use_max_pooling else 1)))

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Pool each level, join, classify."""
        maps = maps_of(inputs)
        if self.conv is not None:
            maps = [self.conv(ops.concatenate(maps, axis=-1), training=training)]
        pooled = []
        for x in maps:
            # In float32: a sum over the positions leaves the range of float16.
            pooled.append(ops.cast(ops.mean(upcast(x), axis=(1, 2)), self.compute_dtype))
            if self.use_max_pooling:
                # Keras on PyTorch refuses the maximum of an empty batch.
                empty = x.shape[0] == 0
                pooled.append(x[:, 0, 0] if empty else ops.max(x, axis=(1, 2)))
        features = ops.concatenate(pooled, axis=-1)
        if self.drop is not None:
            features = self.drop(features, training=training)
        return self.classify(features)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """One logit a class."""
        return (shapes_of(input_shape)[0][0], self.num_classes)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Two levels with dropout, and one through the convolution block."""
        levels = [TensorSpec((2, 3, 5, 4)), TensorSpec((2, 2, 3, 6))]
        yield Example(cls, {"num_classes": 3}, levels)
        dropping = {"num_classes": 3, "use_max_pooling": True, "dropout": 0.5}
        stochastic = frozenset({"stochastic"})
        yield Example(cls, dropping, levels[:1], traits=stochastic, name="dropout")
        single = {"num_classes": 2, "hidden": 6}
        yield Example(cls, single, TensorSpec((2, 2, 3, 4)), name="hidden", traits=BATCH_NORMALIZED)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, levels that cannot be joined."""
        two = [(1, 4, 4, 8), (1, 2, 2, 8)]
        yield Rejection(cls, {"num_classes": 3, "hidden": 8}, "hidden", build=two)
        yield Rejection(cls, {"num_classes": 3, "data_format": "channels_first"}, "data_format")
