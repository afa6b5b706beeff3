"""The detection head of YOLOv12."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

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
from dl_techniques.layers.conv.channels_last import BATCH_NORMALIZED, channels_of
from dl_techniques.layers.parts import fresh_initializer
from dl_techniques.layers.yolo.composite import Composite
from dl_techniques.layers.yolo.levels import checked_strides, maps_of, require_levels, shapes_of

# Enough for the labels of a usual image; more would widen the branch without need.
_MOST_CLASS_CHANNELS = 100
_IMAGE_SIZE = 640
_OBJECTS_PER_IMAGE = 5


@component(
    "dl_techniques>YOLOv12DetectionHead",
    kind="layer",
    tags=("detection", "vision", "yolo"),
    paper="arXiv:2502.12524",
    since="0.1",
)
class YOLOv12DetectionHead(Composite):
    """Boxes and class scores of every position of several feature maps, undecoded.

    Each level has a branch for boxes, two 3 x 3 convolution blocks and a pointwise convolution to
    4 `reg_max` logits (left, top, right, bottom, `reg_max` bins each), and one for classes, twice
    a depthwise 3 x 3 and a pointwise block, and a pointwise convolution to logits.
    `decode_yolov12_detections` makes boxes and scores of them.

    The branches are as wide in every level: max(16, C / 4, 4 `reg_max`) for boxes and
    max(C, min(`num_classes`, 100)) for classes, C being the channels of the first level. The
    boxes' logits start at 2, the classes' at log(5 / `num_classes` / (640 / stride)^2): five
    objects in an image of 640 x 640.

    Args:
        num_classes: Number of classes.
        reg_max: Number of bins of a side's distance.
        strides: Pixels of the image for a step in each level.
        activation: Activation of the convolutions; see `ConvBlock`.
        kernel_initializer: Initializer of all kernels.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        A list of `(batch, height, width, channels)`, one for each stride; height and width may be
        unknown.

    Output shape:
        `(batch, positions, 4 * reg_max + num_classes)`: level after level, row after row.

    Raises:
        ValueError: If a number is not positive, or there are not as many levels as strides.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import YOLOv12DetectionHead
        >>> levels = [keras.ops.ones((1, 4, 6, 8)), keras.ops.ones((1, 2, 3, 16))]
        >>> tuple(YOLOv12DetectionHead(3, strides=(8, 16))(levels).shape)
        (1, 30, 67)

    References:
        Tian et al., "YOLOv12: Attention-Centric Real-Time Object Detectors", arXiv:2502.12524;
        Li et al., "Generalized Focal Loss", arXiv:2006.04388, for the bins.
    """

    def __init__(
        self,
        num_classes: Count,
        reg_max: Count = 16,
        strides: Sequence[int] = (8, 16, 32),
        activation: ActivationLike | None = "silu",
        kernel_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(activation, kernel_initializer, **kwargs)
        self.num_classes = num_classes
        self.reg_max = reg_max
        self.strides = checked_strides(strides)

    def build(self, input_shape: Any) -> None:
        """Create and build both branches of each level."""
        shapes = shapes_of(input_shape)
        require_levels(shapes, self.strides)
        first = channels_of(shapes[0])
        box_width = max(16, first // 4, 4 * self.reg_max)
        class_width = max(first, min(self.num_classes, _MOST_CLASS_CHANNELS))
        self.boxes = [self._boxes(shape, box_width) for shape in shapes]
        self.classes = [
            self._classes(shape, class_width, stride)
            for shape, stride in zip(shapes, self.strides, strict=True)
        ]

    def _boxes(self, shape: Shape, width: int) -> keras.Sequential:
        return keras.Sequential(
            [
                self._input(shape),
                self._conv(width, 3),
                self._conv(width, 3),
                self._logits(4 * self.reg_max, 2.0),
            ]
        )

    def _classes(self, shape: Shape, width: int, stride: int) -> keras.Sequential:
        channels = channels_of(shape)
        share = _OBJECTS_PER_IMAGE / self.num_classes / (_IMAGE_SIZE / stride) ** 2
        return keras.Sequential(
            [
                self._input(shape),
                self._conv(channels, 3, groups=channels),
                self._conv(width),
                self._conv(width, 3, groups=width),
                self._conv(width),
                self._logits(self.num_classes, math.log(share)),
            ]
        )

    def _input(self, shape: Shape) -> Any:
        # A sequence casts what it gets to the dtype of its input, by default float32.
        return keras.Input((None, None, shape[-1]), dtype=self.compute_dtype)

    def _logits(self, units: int, bias: float) -> Any:
        return keras.layers.Dense(
            units,
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            bias_initializer=keras.initializers.Constant(bias),
            dtype=self.dtype_policy,
        )

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Both branches of each level, joined."""
        outputs = []
        for x, boxes, classes in zip(maps_of(inputs), self.boxes, self.classes, strict=True):
            logits = [boxes(x, training=training), classes(x, training=training)]
            _, height, width, _ = ops.shape(x)
            width_of_output = 4 * self.reg_max + self.num_classes
            joined = ops.concatenate(logits, axis=-1)
            outputs.append(ops.reshape(joined, (-1, height * width, width_of_output)))
        return ops.concatenate(outputs, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """The positions of all levels, `None` if a size is unknown."""
        shapes = shapes_of(input_shape)
        positions: int | None = 0
        for _, height, width, _ in shapes:
            if positions is None or height is None or width is None:
                positions = None
            else:
                positions += height * width
        return (shapes[0][0], positions, 4 * self.reg_max + self.num_classes)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Two levels, and one."""
        levels = [TensorSpec((2, size, size, 4)) for size in (3, 2, 1)]
        yield Example(cls, {"num_classes": 3}, levels, traits=BATCH_NORMALIZED)
        single = {"num_classes": 2, "reg_max": 2, "strides": (4,)}
        yield Example(cls, single, TensorSpec((2, 2, 3, 4)), name="single", traits=BATCH_NORMALIZED)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, too few levels."""
        yield Rejection(cls, {"num_classes": 3, "strides": ()}, "strides")
        yield Rejection(cls, {"num_classes": 3, "strides": (8, 0)}, "strides")
        two = [(1, 4, 4, 8), (1, 2, 2, 8)]
        yield Rejection(cls, {"num_classes": 3}, "strides", build=two)
        yield Rejection(cls, {"num_classes": 3, "data_format": "channels_first"}, "data_format")
