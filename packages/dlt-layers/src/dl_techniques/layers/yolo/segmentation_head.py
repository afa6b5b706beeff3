"""A head for semantic segmentation on YOLOv12's features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    InitializerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.conv.channels_last import BATCH_NORMALIZED
from dl_techniques.layers.parts import fresh_initializer
from dl_techniques.layers.yolo.composite import Composite
from dl_techniques.layers.yolo.levels import checked_strides, maps_of, require_levels, shapes_of


@component(
    "dl_techniques>YOLOv12SegmentationHead",
    kind="layer",
    tags=("segmentation", "vision", "yolo"),
    paper="arXiv:2502.12524",
    since="0.1",
)
class YOLOv12SegmentationHead(Composite):
    """Logits of every pixel's class from feature maps of several sizes.

    Each level goes through a pointwise convolution block and is resized to the first one's size;
    all are joined, by concatenation or addition, go through a 3 x 3 block, are enlarged to the
    image by the first stride, and are classified.

    The segmentation is semantic, one class a pixel: no instances and no prototypes of masks. The
    head is this library's own.

    Args:
        num_classes: Number of classes.
        filters: Channels of the joined maps.
        strides: Pixels of the image for a step in each level, the smallest first.
        fusion: `"concat"` or `"sum"`.
        upsampling: How the joined maps are enlarged: `"bilinear"`, or `"conv2d_transpose"` with
            kernel and strides of the first stride.
        activation: Activation of the convolutions; see `ConvBlock`.
        kernel_initializer: Initializer of all kernels.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        A list of `(batch, height, width, channels)`, one for each stride; height and width may be
        unknown.

    Output shape:
        `(batch, strides[0] * height, strides[0] * width, num_classes)` with the sizes of the
        first level.

    Raises:
        ValueError: If a number is not positive, a word is unknown, or there are not as many
            levels as strides.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import YOLOv12SegmentationHead
        >>> levels = [keras.ops.ones((1, 4, 6, 8)), keras.ops.ones((1, 2, 3, 16))]
        >>> tuple(YOLOv12SegmentationHead(3, strides=(8, 16))(levels).shape)
        (1, 32, 48, 3)

    References:
        Tian et al., "YOLOv12: Attention-Centric Real-Time Object Detectors", arXiv:2502.12524,
        for the features.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "finite_differences": "TensorFlow resizes images in float32, whatever their dtype, where "
        "a difference of 1e-6 is lost. The oracle compares the gradients.",
    }

    def __init__(
        self,
        num_classes: Count,
        filters: Count = 64,
        strides: Sequence[int] = (8, 16, 32),
        fusion: Literal["concat", "sum"] = "concat",
        upsampling: Literal["bilinear", "conv2d_transpose"] = "bilinear",
        activation: ActivationLike | None = "silu",
        kernel_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(activation, kernel_initializer, **kwargs)
        self.num_classes = num_classes
        self.filters = filters
        self.strides = checked_strides(strides)
        self.fusion = fusion
        self.upsampling = upsampling
        self.lateral = [self._conv(filters) for _ in self.strides]
        self.fuse = self._conv(filters, 3)
        self.classify = keras.layers.Dense(
            num_classes,
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            dtype=self.dtype_policy,
        )
        self.enlarge = (
            keras.layers.Conv2DTranspose(
                filters,
                self.strides[0],
                self.strides[0],
                kernel_initializer=fresh_initializer(self.kernel_initializer),
                data_format=self.data_format,
                dtype=self.dtype_policy,
            )
            if upsampling == "conv2d_transpose"
            else None
        )

    def build(self, input_shape: Any) -> None:
        """Build all convolutions."""
        shapes = shapes_of(input_shape)
        require_levels(shapes, self.strides)
        for conv, shape in zip(self.lateral, shapes, strict=True):
            conv.build(shape)
        joined = self.filters * (len(shapes) if self.fusion == "concat" else 1)
        self.fuse.build((*shapes[0][:-1], joined))
        fused_shape = (*shapes[0][:-1], self.filters)
        if self.enlarge is not None:
            self.enlarge.build(fused_shape)
        self.classify.build(fused_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Join the levels, enlarge, classify."""
        maps = [
            conv(x, training=training)
            for conv, x in zip(self.lateral, maps_of(inputs), strict=True)
        ]
        _, height, width, _ = ops.shape(maps[0])
        maps = [maps[0], *(_resized(x, height, width) for x in maps[1:])]
        x = ops.concatenate(maps, axis=-1) if self.fusion == "concat" else sum(maps[1:], maps[0])
        x = self.fuse(x, training=training)
        if self.enlarge is not None:
            return self.classify(self.enlarge(x))
        # Interpolation weights add up to one, so that classifying commutes with it: on the small
        # map it costs a stride squared less.
        stride = self.strides[0]
        return _resized(self.classify(x), stride * height, stride * width)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """The image's size, as far as the first level tells it."""
        batch, *sizes, _ = shapes_of(input_shape)[0]
        grown = [None if size is None else size * self.strides[0] for size in sizes]
        return (batch, *grown, self.num_classes)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Two levels whose sizes are no multiples, and one enlarged by a convolution."""
        levels = [TensorSpec((2, size, size, 4)) for size in (3, 2, 1)]
        yield Example(cls, {"num_classes": 3}, levels, traits=BATCH_NORMALIZED)
        single = {"num_classes": 2, "filters": 4, "strides": (2,), "fusion": "sum"}
        single |= {"upsampling": "conv2d_transpose"}
        yield Example(cls, single, TensorSpec((2, 2, 3, 4)), name="single", traits=BATCH_NORMALIZED)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers and words, too few levels."""
        yield Rejection(cls, {"num_classes": 3, "strides": 8}, "strides")
        yield Rejection(cls, {"num_classes": 3}, "strides", build=[(1, 4, 4, 8), (1, 2, 2, 8)])
        yield Rejection(cls, {"num_classes": 3, "data_format": "channels_first"}, "data_format")


def _resized(x: Tensor, height: Any, width: Any) -> Tensor:
    resized: Tensor = ops.image.resize(
        x, (height, width), interpolation="bilinear", data_format="channels_last"
    )
    return resized
