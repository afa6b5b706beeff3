"""ConvUNext: a U-Net of ConvNeXt blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Fraction,
    Model,
    PositiveNumber,
    Rejection,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers import ConvNeXtV1Block, ConvNeXtV2Block
from dl_techniques.models.convunext.parts import Parts
from dl_techniques.models.vision.crop_like import CropLike
from dl_techniques.models.vision.pad_to_multiple import PadToMultiple

# The root of zero has no gradient; the square of this is far below that of any other scale.
_TINY = 1e-15


Variant: TypeAlias = Literal["tiny", "small", "base", "large", "xlarge"]


class Size(NamedTuple):
    """The sizes of a variant."""

    depth: int
    initial_filters: int
    blocks_per_level: int
    drop_path_rate: float


SIZES: Mapping[str, Size] = {
    "tiny": Size(3, 32, 2, 0.0),
    "small": Size(3, 48, 2, 0.1),
    "base": Size(4, 64, 3, 0.1),
    "large": Size(4, 96, 4, 0.2),
    "xlarge": Size(5, 128, 5, 0.3),
}


@component(
    "dl_techniques>ConvUNext",
    kind="model",
    tags=("vision", "convolution", "restoration", "segmentation"),
    aliases=("dl_techniques>ConvUNextModel",),
    since="0.1",
    variants=("tiny", "small", "base", "large", "xlarge"),
)
class ConvUNext(Model):
    """U-Net of ConvNeXt blocks without biases, for denoising, restoration and segmentation.

    Encoder: B blocks of C_i = F m^i channels, LN, 2 x 2 / 2; B blocks in the middle; decoder:
    bilinear to the skip's size, concatenation, 1 x 1, B blocks; 1 x 1.

    The normalization of the stem makes it invariant to the scale of the images, f(a x) = f(x), as
    far as epsilon allows; with `scale_equivariant` f(a x) = a f(x), exactly. Images of any size are
    padded by reflection to a multiple of 2^depth, and the outputs cropped.

    Args:
        variant: `"tiny"`, `"small"`, `"base"`, `"large"` or `"xlarge"`: 2.1, 4.6, 46, 135 and 1183
            million parameters. `max_filters=512` is advised for the last two.
        input_shape: Height, width and channels of the images; height and width may be `None`.
        output_channels: Channels of the outputs; `None` for the input's.
        depth: Steps down; `None` for the variant's.
        initial_filters: F; `None` for the variant's.
        blocks_per_level: B; `None` for the variant's.
        filter_multiplier: m.
        max_filters: The most channels; `None` for no bound.
        convnext_version: `"v2"` for blocks with global response normalization, `"v1"` for gains.
        kernel_size: Size of the depthwise kernels and of the stem's.
        layer_scale_init: First gain of the branches of `"v1"`.
        drop_path_rate: Rate of stochastic depth of the last block; `None` for the variant's.
        enable_deep_supervision: Whether to give a list: the output, then one of each level of the
            decoder below, at half the size each. A single target is reduced to their sizes.
        final_activation: Activation of the outputs.
        use_bias: Whether layers have biases, normalizations included.
        stem_skip: Whether the stem's map is added to the last one.
        scale_equivariant: Whether images are divided by their root mean square, and outputs
            multiplied by it; needs a linear `final_activation`.
        seed: Seed of stochastic depth.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, output_channels)`, or a list of `depth` such maps.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.convunext import ConvUNext
        >>> model = ConvUNext(input_shape=(None, None, 1), initial_filters=4)
        >>> tuple(model(np.ones((2, 9, 12, 1))).shape)
        (2, 9, 12, 1)

    References:
        Ronneberger et al., "U-Net", arXiv:1505.04597; the blocks: arXiv:2201.03545,
        arXiv:2301.00808; nets without biases: Mohan et al., arXiv:1906.05478.
    """

    settings = SIZES
    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": "the defaults are a network of full size, which takes minutes to check"
    }

    def __init__(
        self,
        variant: Variant = "tiny",
        input_shape: Sequence[int | None] = (None, None, 3),
        output_channels: Count | None = None,
        depth: Count | None = None,
        initial_filters: Count | None = None,
        blocks_per_level: Count | None = None,
        filter_multiplier: Count = 2,
        max_filters: Count | None = None,
        convnext_version: Literal["v1", "v2"] = "v2",
        kernel_size: Count = 7,
        layer_scale_init: PositiveNumber = 1e-6,
        drop_path_rate: Fraction | None = None,
        enable_deep_supervision: bool = False,
        final_activation: ActivationLike | None = "linear",
        use_bias: bool = False,
        stem_skip: bool = False,
        scale_equivariant: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        shape = _image_shape(input_shape)
        size = SIZES[variant]
        depth = size.depth if depth is None else depth
        width = initial_filters or size.initial_filters
        widths = [width * filter_multiplier**i for i in range(depth + 1)]
        if max_filters is not None:
            widths = [min(count, max_filters) for count in widths]
        if kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd. Received: kernel_size={kernel_size}")
        if scale_equivariant and not _is_linear(final_activation):
            raise ValueError(
                "`final_activation` must be linear with `scale_equivariant`. "
                f"Received: final_activation={final_activation!r}"
            )
        parts = Parts(
            _block(convnext_version, layer_scale_init),
            kernel_size,
            use_bias,
            blocks_per_level or size.blocks_per_level,
            size.drop_path_rate if drop_path_rate is None else drop_path_rate,
            seed,
        )
        images = keras.Input(shape, name="images")
        scale = root_mean_square(images) if scale_equivariant else None
        x = images if scale is None else upcast(images) / scale
        maps = parts.unet(PadToMultiple(2**depth, name="pad")(x), widths, stem_skip)
        outputs = []
        for i, level in enumerate(maps if enable_deep_supervision else maps[:1]):
            y = parts.head(level, output_channels or shape[2], final_activation, f"head{i}")
            y = CropLike(2**i, name=f"crop{i}")([y, images])
            outputs.append(y if scale is None else ops.cast(upcast(y) * scale, y.dtype))
        super().__init__(images, outputs if enable_deep_supervision else outputs[0], **kwargs)
        for name, value in given.items():
            if name not in {"self", "kwargs", "__class__", "input_shape"}:
                setattr(self, name, value)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Keras's loss; with deep supervision a single target serves all outputs.

        Args:
            x: Images.
            y: Targets: one, or one for each output.
            y_pred: What the model gave.
            sample_weight: As in Keras.
            training: Whether the model is being trained.
        """
        compute: Any = super().compute_loss
        return compute(
            x=x,
            y=reduced(y, y_pred),
            y_pred=y_pred,
            sample_weight=sample_weight,
            training=training,
        )

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Keras's metrics; with deep supervision a single target serves all outputs.

        Args:
            x: Images.
            y: Targets: one, or one for each output.
            y_pred: What the model gave.
            sample_weight: As in Keras.
        """
        compute: Any = super().compute_metrics  # type: ignore[misc]  # Keras's
        return compute(x, reduced(y, y_pred), y_pred, sample_weight=sample_weight)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Two steps down with gains, and deep supervision of images of an odd size."""
        small = {"initial_filters": 4, "blocks_per_level": 1, "kernel_size": 3, "depth": 1}
        v1 = {"convnext_version": "v1", "layer_scale_init": 20.0, "scale_equivariant": True}
        v1 |= {"input_shape": (8, 8, 2), "stem_skip": True}
        traits = frozenset({"scale_equivariant"})
        yield Example(cls, {**small, **v1}, TensorSpec((2, 8, 8, 2)), traits=traits)
        deep = {"input_shape": (None, None, 2), "depth": 2, "enable_deep_supervision": True}
        deep |= {"use_bias": True, "output_channels": 1}
        yield Example(cls, {**small, **deep}, TensorSpec((2, 7, 6, 2)), name="deep")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """An even kernel, unknown channels, an activation that is not homogeneous."""
        yield Rejection(cls, {"kernel_size": 4}, "kernel_size")
        yield Rejection(cls, {"input_shape": (8, 8, None)}, "input_shape")
        equivariant = {"scale_equivariant": True, "final_activation": "sigmoid"}
        yield Rejection(cls, equivariant, "final_activation")


def root_mean_square(images: Tensor) -> Tensor:
    """The root mean square of each image, (batch, 1, 1, 1); its gradient at zero is zero.

    Args:
        images: (batch, height, width, channels).
    """
    mean = ops.mean(ops.square(upcast(images)), axis=(1, 2, 3), keepdims=True)
    return ops.sqrt(mean + _TINY**2)


def _image_shape(input_shape: Sequence[int | None]) -> tuple[int | None, int | None, int]:
    known = all(n is None or (isinstance(n, int) and n > 0) for n in input_shape)
    if len(input_shape) == 3 and known:
        height, width, channels = input_shape
        if channels is not None:
            return height, width, channels
    raise ValueError(
        "`input_shape` must be (height, width, channels) with known channels. "
        f"Received: input_shape={tuple(input_shape)}"
    )


def _block(version: str, layer_scale_init: float) -> Any:
    if version == "v2":
        return ConvNeXtV2Block
    return partial(ConvNeXtV1Block, layer_scale_init=layer_scale_init)


def _is_linear(activation: Any) -> bool:
    return keras.activations.get(activation) is keras.activations.linear


def reduced(y: Any, y_pred: Any) -> Any:
    """A single target at the sizes of several outputs; anything else as it is.

    Args:
        y: (batch, height, width, ...); a float is averaged over squares, labels are thinned out.
        y_pred: The outputs, each at half the size of the one before.
    """
    if not isinstance(y_pred, list | tuple) or y is None or isinstance(y, list | tuple):
        return y
    y = ops.convert_to_tensor(y)
    if not keras.backend.is_float_dtype(y.dtype):
        return [y[:, :: 2**i, :: 2**i] for i in range(len(y_pred))]
    targets = [y]
    for i in range(1, len(y_pred)):
        rows, columns = (_mean_of_runs(n, 2**i, y.dtype) for n in ops.shape(y)[1:3])
        x = ops.einsum("oh,bh...->bo...", rows, y)
        targets.append(ops.einsum("pw,bow...->bop...", columns, x))
    return targets


def _mean_of_runs(size: Any, length: int, dtype: str) -> Tensor:
    """The matrix that takes means of runs of pixels, the last of which may be short."""
    runs = ops.arange(-(-size // length), dtype="int32")[:, None]
    member = ops.cast(ops.arange(size, dtype="int32") // length == runs, dtype)
    return member / ops.sum(member, axis=1, keepdims=True)
