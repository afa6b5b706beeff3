"""SCUNet: restoration of images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import keras
import numpy as np

from dl_techniques.core import Count, Example, Fraction, Rejection, Tensor, TensorSpec, component
from dl_techniques.layers import SwinConvBlock
from dl_techniques.models.vision.crop_like import CropLike
from dl_techniques.models.vision.graph import drop_path_rates
from dl_techniques.models.vision.pad_to_multiple import PadToMultiple
from dl_techniques.models.vision.vision_model import VisionModel, shapes_of

CHANNELS: Mapping[str, int] = {"color": 3, "gray": 1}
STAGES = ("down1", "down2", "down3", "body", "up3", "up2", "up1")


@component(
    "dl_techniques>SCUNet",
    kind="model",
    tags=("vision", "restoration", "denoising", "transformer"),
    paper="arXiv:2203.13278",
    since="0.1",
    variants=("color", "gray"),
)
class SCUNet(VisionModel):
    """Swin-Conv-UNet: a U-Net of swin-conv blocks that denoises images.

    x1 = conv(x), x_(i+1) = down_i(blocks_i(x_i)), z = blocks(x4),
    z <- blocks(up(z + x_(i+1))) for i = 3, 2, 1, y = conv(z + x1)

    The network gives the image itself, not the noise. Convolutions that change the size or the
    channels have no bias; blocks alternate between plain and shifted windows.

    Args:
        variant: `"color"` or `"gray"`.
        weights: First weights: `None` for random ones, a tag such as `"real_psnr"`, a file, or a
            `WeightEntry`.
        input_shape: Height, width and channels of the images; by default any size.
        depths: Blocks of the seven stages: three down, the middle, three up. The published
            weights have four in each.
        dim: Channels of the first stage, which double in each; half of them attend.
        head_dim: Width of a head.
        window_size: Side of a window.
        drop_path: Rate of stochastic depth of the last block; it grows linearly from 0.
        pad_mode: How images are extended to whole windows: `"edge"`, as the authors do, or
            `"reflect"`, as spandrel does.
        seed: Seed of the drop paths.
        accept_license: The licence of the weights that you accept, where consent is asked for.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, height, width, channels)` of 0 to 1; height and width may be any, and unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.scunet import SCUNet
        >>> model = SCUNet("gray", depths=(1, 0, 0, 0, 0, 0, 0), dim=4, head_dim=2, window_size=2)
        >>> tuple(model(np.zeros((1, 20, 30, 1))).shape)
        (1, 20, 30, 1)

    References:
        Zhang et al., "Practical Blind Image Denoising via Swin-Conv-UNet and Data Synthesis",
        arXiv:2203.13278.
    """

    settings = CHANNELS
    include_top = True

    def __init__(
        self,
        variant: Literal["color", "gray"] = "color",
        weights: Any = None,
        input_shape: Sequence[int | None] | None = None,
        depths: Sequence[int] = (4, 4, 4, 4, 4, 4, 4),
        dim: Count = 64,
        head_dim: Count = 32,
        window_size: Count = 8,
        drop_path: Fraction = 0.0,
        pad_mode: Literal["edge", "reflect"] = "edge",
        seed: int | None = None,
        accept_license: str | None = None,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        channels = self.settings_of(variant)
        shape = (None, None, channels) if input_shape is None else tuple(input_shape)
        if len(depths) != len(STAGES) or not all(type(n) is int and n >= 0 for n in depths):
            raise ValueError(f"`depths` must be seven numbers. Received: depths={depths}")
        if dim % (2 * head_dim):
            raise ValueError(
                f"`head_dim` must divide half of `dim`. Received: head_dim={head_dim}, dim={dim}"
            )
        if len(shape) != 3 or shape[2] != channels:
            raise ValueError(
                f"`input_shape` must be (height, width, {channels}) for the variant {variant!r}. "
                f"Received: input_shape={input_shape}"
            )
        source = self.source_of(variant, weights, accept_license)
        self._parts = (depths, head_dim, window_size, seed)
        self._rates = drop_path_rates(drop_path, sum(depths))
        inputs = keras.Input(shape, name="images")
        x = PadToMultiple(8 * window_size, pad_mode, name="pad")(inputs)
        x = _conv(dim, 3, "first")(x)
        skips = []
        for i in range(3):
            skips.append(x)
            x = self._blocks(x, i, 0)
            x = _conv(dim * 2 ** (i + 1), 2, f"down{i + 1}_{depths[i]}", strides=2)(x)
        skips.append(x)
        x = self._blocks(x, 3, 0)
        for i in (2, 1, 0):
            x = keras.layers.Add(name=f"skip{i + 2}")([x, skips.pop()])
            x = keras.layers.Conv2DTranspose(
                dim * 2**i,
                2,
                strides=2,
                use_bias=False,
                data_format="channels_last",
                name=f"up{i + 1}_0",
            )(x)
            x = self._blocks(x, 6 - i, 1)
        x = keras.layers.Add(name="skip1")([x, skips.pop()])
        x = CropLike(name="crop")([_conv(channels, 3, "last")(x), inputs])
        super().__init__(inputs, x, **kwargs)
        self.keep(given)
        self.preprocess = None
        self.finish([f"skip{i}" for i in (4, 3, 2, 1)], source, accept_license)

    def _blocks(self, x: Tensor, stage: int, first: int) -> Tensor:
        """The blocks of a stage, numbered from `first`."""
        depths, head_dim, window_size, seed = self._parts
        before = sum(depths[:stage])
        for i in range(depths[stage]):
            number = before + i
            x = SwinConvBlock(
                x.shape[-1] // 2,
                x.shape[-1] // 2,
                head_dim=head_dim,
                window_size=window_size,
                drop_path=self._rates[number],
                block_type="SW" if i % 2 else "W",
                always_shift=True,
                seed=None if seed is None else seed + 10 * number,
                name=f"{STAGES[stage]}_{first + i}",
            )(x)
        return x

    @property
    def preprocessor(self) -> NoReturn:
        """Images keep their size: there is no preprocessor."""
        raise AttributeError("SCUNet takes images of any size. Use `preprocess_input`.")

    def preprocess_input(self, images: Any) -> Any:
        """Scale bytes to 0 to 1; the size stays.

        Args:
            images: An image (height, width, channels) of bytes, or a batch.

        Returns:
            (batch, height, width, channels) in float32.

        Raises:
            TypeError: If the images are not bytes.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8:
            raise TypeError(f"`images` must be of uint8. Received: images of {images.dtype}")
        scaled = images.astype("float32") / np.float32(255)
        return scaled if scaled.ndim == 4 else scaled[None]

    def reset_head(
        self,
        classes: int,  # noqa: ARG002  # the base's signature
        classifier_activation: Any = None,  # noqa: ARG002
    ) -> NoReturn:
        """There is no classifier.

        Args:
            classes: Ignored.
            classifier_activation: Ignored.

        Raises:
            TypeError: Always.
        """
        raise TypeError("SCUNet gives images and has no classifier to reset.")

    @classmethod
    def _inferred(cls, path: Path, layout: str | None, variant: str | None) -> dict[str, Any]:
        shapes = shapes_of(cls.identifier(), path, layout)
        *_, channels, dim = shapes["first.kernel"]
        names = {name.partition(".")[0] for name in shapes}
        found = dict(zip(CHANNELS.values(), CHANNELS, strict=True)).get(channels)
        if found is None or variant not in {None, found}:
            raise ValueError(
                f"`variant` does not fit {path}, whose images have {channels} channels. "
                f"Received: variant={variant!r}"
            )
        table = next(s for name, s in shapes.items() if name.endswith("position_bias_table"))
        # A convolution is the last of a stage down, and the first of a stage up.
        depths = [
            sum(re.fullmatch(rf"{stage}_\d+", name) is not None for name in names)
            - (stage != "body")
            for stage in STAGES
        ]
        width = next(s for name, s in shapes.items() if name.endswith("mix_in.kernel"))[-1]
        return {
            "variant": found,
            "dim": dim,
            "depths": tuple(depths),
            "head_dim": width // 2 // table[1],
            "window_size": (round(table[0] ** 0.5) + 1) // 2,
        }

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Images that whole windows do not fill, and one block alone."""
        small: dict[str, Any] = {"dim": 8, "head_dim": 2, "window_size": 2}
        dead = ("attention/key/bias",)
        images = TensorSpec((2, 11, 16, 3), low=0.0, high=1.0)
        yield Example(cls, {**small, "depths": (2, 0, 0, 1, 0, 0, 0)}, images, dead=dead)
        config = {**small, "variant": "gray", "depths": (1, 0, 0, 0, 0, 0, 0)}
        gray = TensorSpec((2, 16, 16, 1), low=0.0, high=1.0)
        yield Example(cls, {**config, "pad_mode": "reflect"}, gray, dead=dead, name="gray")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Stages that are not seven, heads that do not divide, other channels."""
        yield Rejection(cls, {"depths": (1, 1)}, "depths")
        yield Rejection(cls, {"dim": 48}, "head_dim")
        yield Rejection(cls, {"input_shape": (32, 32, 1)}, "input_shape")


def _conv(filters: int, side: int, name: str, strides: int = 1) -> Any:
    padding = "same" if strides == 1 else "valid"
    return keras.layers.Conv2D(
        filters,
        side,
        strides=strides,
        padding=padding,
        use_bias=False,
        data_format="channels_last",
        name=name,
    )
