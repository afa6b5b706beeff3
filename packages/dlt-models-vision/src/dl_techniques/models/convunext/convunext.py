"""ConvUNext: a U-Net of ConvNeXt blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from dl_techniques.core import Example, Model, Rejection, Tensor, TensorSpec, component
from dl_techniques.layers import ConvNeXtV1Block, ConvNeXtV2Block
from dl_techniques.layers.arguments import require_integers, require_one_of, require_shares
from dl_techniques.models.convunext.crop_to_scale import CropToScale
from dl_techniques.models.convunext.pad_to_multiple import PadToMultiple
from dl_techniques.models.convunext.resize_like import ResizeLike
from dl_techniques.models.vision.graph import drop_path_rates, truncated_normal

_TINY = 1e-12


class Size(NamedTuple):
    """What a variant is."""

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
        drop_path_rate: Rate of stochastic depth of the last block; `None` for the variant's.
        enable_deep_supervision: Whether to give a list: the output, then one of each level of the
            decoder below, at half the size each. A single target is reduced to their sizes.
        final_activation: Activation of the outputs.
        use_bias: Whether layers have biases, normalizations included.
        scale_equivariant: Whether images are divided by their root mean square, and outputs
            multiplied with it; needs a linear `final_activation`.
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
        variant: str = "tiny",
        input_shape: Sequence[int | None] = (None, None, 3),
        output_channels: int | None = None,
        depth: int | None = None,
        initial_filters: int | None = None,
        blocks_per_level: int | None = None,
        filter_multiplier: int = 2,
        max_filters: int | None = None,
        convnext_version: str = "v2",
        kernel_size: int = 7,
        drop_path_rate: float | None = None,
        enable_deep_supervision: bool = False,
        final_activation: Any = "linear",
        use_bias: bool = False,
        scale_equivariant: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        require_one_of(SIZES, variant=variant)
        require_one_of(("v1", "v2"), convnext_version=convnext_version)
        size = _size(SIZES[variant], depth, initial_filters, blocks_per_level, drop_path_rate)
        if len(input_shape) != 3 or input_shape[2] is None:
            raise ValueError(
                "`input_shape` must be (height, width, channels) with known channels. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        if scale_equivariant and keras.activations.get(final_activation) is not _LINEAR:
            raise ValueError(
                "`final_activation` must be linear with `scale_equivariant`. "
                f"Received: final_activation={final_activation!r}"
            )
        channels = input_shape[2] if output_channels is None else output_channels
        require_integers(output_channels=channels, filter_multiplier=filter_multiplier)
        levels = range(size.depth + 1)
        filters = [size.initial_filters * filter_multiplier**i for i in levels]
        if max_filters is not None:
            require_integers(max_filters=max_filters)
            filters = [min(n, max_filters) for n in filters]
        make = _Parts(convnext_version, kernel_size, use_bias, size, seed)
        images = keras.Input(tuple(input_shape), name="images")
        x, scale = images, None
        if scale_equivariant:
            mean = ops.mean(ops.square(x), axis=(1, 2, 3), keepdims=True)
            scale = ops.sqrt(mean) + _TINY
            x = x / scale
        x = PadToMultiple(2**size.depth, name="pad")(x)
        maps = make.unet(x, filters)
        heads = maps if enable_deep_supervision else maps[:1]
        outputs = []
        for i, y in enumerate(heads):
            y = make.conv(y, channels, 1, 1, f"head{i}", activation=final_activation)  # noqa: PLW2901
            y = CropToScale(2**i, name=f"crop{i}")([y, images])  # noqa: PLW2901
            outputs.append(y if scale is None else y * scale)
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
            y=_reduced(y, y_pred),
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
        return compute(x, _reduced(y, y_pred), y_pred, sample_weight=sample_weight)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Two steps down with gains, and deep supervision of images of an odd size."""
        small = {"initial_filters": 4, "blocks_per_level": 1, "kernel_size": 3, "depth": 1}
        v1 = {"convnext_version": "v1", "input_shape": (8, 8, 2), "scale_equivariant": True}
        yield Example(cls, {**small, **v1}, TensorSpec((2, 8, 8, 2)))
        deep = {"input_shape": (None, None, 2), "depth": 2, "enable_deep_supervision": True}
        deep |= {"use_bias": True, "output_channels": 1}
        yield Example(cls, {**small, **deep}, TensorSpec((2, 7, 6, 2)), name="deep")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown words, numbers out of range."""
        yield Rejection(cls, {"variant": "enormous"}, "variant")
        yield Rejection(cls, {"convnext_version": "v3"}, "convnext_version")
        yield Rejection(cls, {"depth": 0}, "depth")
        yield Rejection(cls, {"blocks_per_level": 0}, "blocks_per_level")
        yield Rejection(cls, {"drop_path_rate": 2.0}, "drop_path_rate")
        yield Rejection(cls, {"output_channels": 0}, "output_channels")
        yield Rejection(cls, {"input_shape": (8, 8, None)}, "input_shape")
        equivariant = {"scale_equivariant": True, "final_activation": "sigmoid"}
        yield Rejection(cls, equivariant, "final_activation")


_LINEAR = keras.activations.get("linear")


class _Parts:
    """Makes the parts of one network."""

    def __init__(
        self, version: str, kernel_size: int, use_bias: bool, size: Size, seed: int | None
    ) -> None:
        self.block = ConvNeXtV2Block if version == "v2" else ConvNeXtV1Block
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.size = size
        self.seed = seed
        count = (2 * size.depth + 1) * size.blocks_per_level
        self.rates = iter(drop_path_rates(size.drop_path_rate, count))
        self.made = 0

    def conv(
        self, x: Tensor, filters: int, side: int, strides: int, name: str, activation: Any = None
    ) -> Tensor:
        """A convolution."""
        return keras.layers.Conv2D(
            filters,
            side,
            strides=strides,
            padding="same",
            activation=activation,
            use_bias=self.use_bias,
            kernel_initializer=truncated_normal(),
            data_format="channels_last",
            name=name,
        )(x)

    def norm(self, x: Tensor, name: str) -> Tensor:
        """A layer normalization."""
        return keras.layers.LayerNormalization(epsilon=1e-6, center=self.use_bias, name=name)(x)

    def blocks(self, x: Tensor, filters: int, name: str) -> Tensor:
        """The blocks of one level."""
        for i in range(self.size.blocks_per_level):
            self.made += 1
            x = self.block(
                filters,
                self.kernel_size,
                drop_path=next(self.rates),
                use_bias=self.use_bias,
                seed=None if self.seed is None else self.seed + self.made,
                name=f"{name}_block{i}",
            )(x)
        return x

    def unet(self, x: Tensor, filters: Sequence[int]) -> list[Tensor]:
        """The maps of the decoder, from the largest to the smallest."""
        depth = self.size.depth
        x = self.norm(self.conv(x, filters[0], self.kernel_size, 1, "stem"), "stem_norm")
        skips = []
        for i in range(depth):
            x = self.blocks(x, filters[i], f"encoder{i}")
            skips.append(x)
            x = self.conv(self.norm(x, f"down{i}_norm"), filters[i + 1], 2, 2, f"down{i}")
        x = self.blocks(x, filters[depth], "middle")
        maps = []
        for i in reversed(range(depth)):
            x = ResizeLike(name=f"up{i}")([x, skips[i]])
            x = keras.layers.Concatenate(name=f"join{i}")([x, skips[i]])
            x = self.conv(x, filters[i], 1, 1, f"fuse{i}")
            x = self.blocks(x, filters[i], f"decoder{i}")
            maps.append(x)
        return maps[::-1]


def _size(
    size: Size, depth: int | None, filters: int | None, blocks: int | None, rate: float | None
) -> Size:
    chosen = Size(
        size.depth if depth is None else depth,
        size.initial_filters if filters is None else filters,
        size.blocks_per_level if blocks is None else blocks,
        size.drop_path_rate if rate is None else rate,
    )
    require_integers(depth=chosen.depth, initial_filters=chosen.initial_filters)
    require_integers(blocks_per_level=chosen.blocks_per_level)
    require_shares(drop_path_rate=chosen.drop_path_rate)
    return chosen


def _reduced(y: Any, y_pred: Any) -> Any:
    """A single target at the sizes of several outputs."""
    if not isinstance(y_pred, list | tuple) or y is None or isinstance(y, list | tuple):
        return y
    y = ops.convert_to_tensor(y)
    floating = keras.backend.is_float_dtype(y.dtype)
    targets = []
    for i in range(len(y_pred)):
        side = 2**i
        if not i or not floating:
            targets.append(y[:, ::side, ::side])
        else:
            targets.append(ops.average_pool(y, side, side, "same", "channels_last"))
    return targets
