"""The universal inverted bottleneck of MobileNetV4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import keras

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Fraction,
    InitializerLike,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    resolve,
)
from dl_techniques.layers.arguments import (
    require_integers,
)
from dl_techniques.layers.conv.channels_last import (
    BATCH_NORMALIZED,
    ChannelsLastLayer,
    channels_of,
    strided,
)
from dl_techniques.layers.conv.depthwise import DepthwiseConvolution
from dl_techniques.layers.layer_scale import LayerScale
from dl_techniques.layers.parts import build_part, call_part, fresh_initializer
from dl_techniques.layers.stochastic_depth import StochasticDepth


@component(
    "dl_techniques>UIB",
    kind="layer",
    tags=("convolution", "vision", "mobile"),
    paper="arXiv:2404.10518",
    aliases=("dl_techniques>UniversalInvertedBottleneck",),
    since="0.1",
)
class UIB(ChannelsLastLayer):
    """Universal inverted bottleneck: expansion and projection with two optional depthwise steps.

    h = act(BN(W_1 BN(DW_start(x)))), y = BN(W_2 act(BN(DW_mid(h)))) (+ x).

    Which of the two depthwise convolutions is there makes it an inverted bottleneck (middle), a
    ConvNeXt-like block (start), ExtraDW (both) or a feed-forward network (none). The input is
    added if its shape is the output's.

    Args:
        filters: Number of output channels.
        expansion_ratio: Width of the hidden features in input channels, rounded to a multiple of
            eight (upwards, if more than a tenth would be lost); `None` for no expansion at all, as
            in the first block of MobileNetV2.
        start_dw_kernel_size: Odd size of the first depthwise kernel; 0 or `None` omits it.
        middle_dw_kernel_size: Odd size of the second one; 0 or `None` omits it.
        strides: Step on both axes.
        use_middle_dw_stride: Whether the second depthwise convolution makes the step, if it is
            there; otherwise the first one does.
        activation: Activation after the expansion and after the second depthwise convolution:
            name, function, layer or configuration.
        layer_scale_init: Initial gain of the branch; `None` for no gain.
        drop_path: Probability that a sample skips the branch at training; for blocks that add
            their input.
        norm_momentum: How much of its moving statistics batch normalization keeps at each step.
        norm_epsilon: Added to the variance.
        kernel_initializer: Initializer of all kernels.
        kernel_regularizer: Regularizer of all kernels.
        seed: Seed of the draws of `drop_path`.
        padding: `"symmetric"`, or `"same"` for what Keras and TensorFlow do with strides.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown.

    Output shape:
        `(batch, height / strides, width / strides, filters)`, rounded up.

    Raises:
        ValueError: If a number is not positive, a kernel's size even, or there are strides and no
            depthwise convolution to make them.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import UIB
        >>> block = UIB(6, start_dw_kernel_size=3, middle_dw_kernel_size=3, strides=2)
        >>> tuple(block(keras.ops.ones((2, 3, 4, 4))).shape)
        (2, 2, 2, 6)

    References:
        Qin et al., "MobileNetV4: Universal Models for the Mobile Ecosystem", arXiv:2404.10518.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": "at the kink of ReLU there is no gradient to compare with differences"
    }

    def __init__(
        self,
        filters: Count,
        expansion_ratio: PositiveNumber | None = 4.0,
        start_dw_kernel_size: int | None = 0,
        middle_dw_kernel_size: int | None = 3,
        strides: Count = 1,
        use_middle_dw_stride: bool = True,
        activation: ActivationLike | None = "relu",
        layer_scale_init: float | None = None,
        drop_path: Fraction = 0.0,
        norm_momentum: Fraction = 0.99,
        norm_epsilon: PositiveNumber = 1e-3,
        kernel_initializer: InitializerLike = "he_normal",
        kernel_regularizer: RegularizerLike | None = None,
        seed: int | None = None,
        padding: Literal["symmetric", "same"] = "symmetric",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        start, middle = start_dw_kernel_size or 0, middle_dw_kernel_size or 0
        for name, size in (("start", start), ("middle", middle)):
            require_integers(0, **{f"{name}_dw_kernel_size": size})
            if size and size % 2 == 0:
                raise ValueError(
                    f"`{name}_dw_kernel_size` must be odd, so that the padding is symmetric. "
                    f"Received: {name}_dw_kernel_size={size}"
                )
        if strides > 1 and not start and not middle:
            raise ValueError(
                "`strides` above 1 need a depthwise convolution. Received: "
                f"strides={strides}, start_dw_kernel_size={start_dw_kernel_size}, "
                f"middle_dw_kernel_size={middle_dw_kernel_size}"
            )
        self.filters = filters
        self.expansion_ratio = expansion_ratio
        self.start_dw_kernel_size = start_dw_kernel_size
        self.middle_dw_kernel_size = middle_dw_kernel_size
        self.strides = strides
        self.use_middle_dw_stride = use_middle_dw_stride
        self.activation = activation
        self.expand_activation = resolve(
            activation, kind="activation", fresh=True, dtype=self.dtype_policy
        )
        self.middle_activation = resolve(
            activation, kind="activation", fresh=True, dtype=self.dtype_policy
        )
        self.layer_scale_init = layer_scale_init
        self.drop_path = drop_path
        self.norm_momentum = norm_momentum
        self.norm_epsilon = norm_epsilon
        self.padding = padding
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        """Create and build the four steps and the end of the branch."""
        channels = channels_of(input_shape)
        in_middle = bool(self.middle_dw_kernel_size) and (
            self.use_middle_dw_stride or not self.start_dw_kernel_size
        )
        steps = (1, self.strides) if in_middle else (self.strides, 1)
        shape = input_shape
        self.start_dw, self.start_norm, shape = self._step(
            self._depthwise(self.start_dw_kernel_size, steps[0]), shape
        )
        expand = None
        if self.expansion_ratio is not None:
            expand = self._pointwise(rounded_to_eights(channels * self.expansion_ratio))
        self.expand, self.expand_norm, shape = self._step(expand, shape)
        if self.expand is not None:
            build_part(self.expand_activation, shape)
        self.middle_dw, self.middle_norm, shape = self._step(
            self._depthwise(self.middle_dw_kernel_size, steps[1]), shape
        )
        if self.middle_dw is not None:
            build_part(self.middle_activation, shape)
        self.project, self.project_norm, shape = self._step(self._pointwise(self.filters), shape)
        self.adds_input = self.strides == 1 and channels == self.filters
        self.layer_scale: Any = None
        if self.layer_scale_init is not None:
            self.layer_scale = LayerScale(
                initializer=keras.initializers.Constant(self.layer_scale_init),
                dtype=self.dtype_policy,
            )
            self.layer_scale.build(shape)
        self.stochastic_depth: Any = None
        if self.drop_path and self.adds_input:
            self.stochastic_depth = StochasticDepth(
                self.drop_path, self.seed, dtype=self.dtype_policy
            )
            self.stochastic_depth.build(shape)

    def _depthwise(self, kernel_size: int | None, strides: int) -> Any:
        if not kernel_size:
            return None
        return DepthwiseConvolution(
            kernel_size,
            strides,
            padding=self.padding,
            data_format=self.data_format,
            **self._settings(),
        )

    def _pointwise(self, filters: int) -> Any:
        # A product on the last axis is at least as fast as a 1 x 1 convolution.
        return keras.layers.Dense(filters, **self._settings())

    def _settings(self) -> dict[str, Any]:
        return {
            "use_bias": False,
            "kernel_initializer": fresh_initializer(self.kernel_initializer),
            "kernel_regularizer": self.kernel_regularizer,
            "dtype": self.dtype_policy,
        }

    def _step(self, layer: Any, shape: Shape) -> tuple[Any, Any, Shape]:
        """A layer and its normalization, built, and the shape after them."""
        if layer is None:
            return None, None, shape
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
        norm = keras.layers.BatchNormalization(
            momentum=self.norm_momentum, epsilon=self.norm_epsilon, dtype=self.dtype_policy
        )
        norm.build(shape)
        return layer, norm, shape

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Expand, convolve, project; add the input if its shape allows."""
        x = inputs
        if self.start_dw is not None:
            x = self.start_norm(self.start_dw(x), training=training)
        if self.expand is not None:
            x = self.expand_norm(self.expand(x), training=training)
            x = call_part(self.expand_activation, x, training)
        if self.middle_dw is not None:
            x = self.middle_norm(self.middle_dw(x), training=training)
            x = call_part(self.middle_activation, x, training)
        x = self.project_norm(self.project(x), training=training)
        if self.layer_scale is not None:
            x = self.layer_scale(x)
        if self.stochastic_depth is not None:
            x = self.stochastic_depth(x, training=training)
        return inputs + x if self.adds_input else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Height and width divided by the strides and rounded up."""
        batch, height, width, _ = input_shape
        return (batch, strided(height, self.strides), strided(width, self.strides), self.filters)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """ExtraDW with its input added, and a strided inverted bottleneck."""
        images = TensorSpec((2, 3, 4, 4))
        both: dict[str, Any] = {"filters": 4, "start_dw_kernel_size": 3, "middle_dw_kernel_size": 3}
        # Not ReLU: an empty window is exactly at its kink, where there is no gradient to check.
        both |= {"expansion_ratio": 2, "activation": "silu"}
        both |= {"layer_scale_init": 0.5, "drop_path": 0.5}
        traits = BATCH_NORMALIZED | {"stochastic"}
        yield Example(cls, both, images, traits=traits, name="extra_dw")
        smooth = {"filters": 4, "activation": "silu"}
        yield Example(cls, smooth, images, traits=BATCH_NORMALIZED)
        narrow = {"filters": 6, "expansion_ratio": None, "strides": 2, "padding": "same"}
        narrow |= {"activation": "silu"}
        yield Example(cls, narrow, images, traits=BATCH_NORMALIZED, name="narrow")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, strides that nothing makes."""
        yield Rejection(cls, {"filters": 4, "start_dw_kernel_size": 2}, "start_dw_kernel_size")
        yield Rejection(cls, {"filters": 4, "middle_dw_kernel_size": -3}, "middle_dw_kernel_size")
        bare = {"filters": 4, "middle_dw_kernel_size": 0, "strides": 2}
        yield Rejection(cls, bare, "strides")
        yield Rejection(cls, {"filters": 4}, "input_shape", build=(2, 4))
        yield Rejection(cls, {"filters": 4, "data_format": "channels_first"}, "data_format")


def rounded_to_eights(width: float) -> int:
    """The nearest multiple of eight, at least eight, that loses no more than a tenth.

    Args:
        width: A number of channels.

    Example:
        >>> [rounded_to_eights(width) for width in (3, 12, 18, 26)]
        [8, 16, 24, 24]
    """
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * width else nearest
