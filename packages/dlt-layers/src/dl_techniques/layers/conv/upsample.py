"""Ways to double height and width, chosen by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import keras

from dl_techniques.core import Tensor, component
from dl_techniques.layers.conv.conv2d_builder import conv2d_builder
from dl_techniques.layers.conv.downsample import Method, convolution, resampling
from dl_techniques.layers.conv.pixel_shuffle import PixelShuffle


def _transposed(given: Mapping[str, Any]) -> list[Any]:
    params = {"kernel_size": 2, **given}
    size = params["kernel_size"]
    if not isinstance(size, int) or size < 2 or not {"strides", "padding"}.isdisjoint(given):
        raise ValueError(
            "A transposed convolution that doubles the size needs one `kernel_size` of at least "
            "two in `conv_params`, and neither strides nor padding. "
            f"Received: conv_params={dict(given)}"
        )
    params |= {"strides": 2, "padding": "valid"}
    block = conv2d_builder(conv_params=params, conv_type="conv2d_transpose")
    before = (size - 2) // 2
    # Cropping is exact on every version of Keras; "same" is not on PyTorch with Keras 3.8.
    crop = keras.layers.Cropping2D([[before, size - 2 - before]] * 2, data_format="channels_last")
    return [*block.layers, *([crop] if size > 2 else [])]


def _interpolated(interpolation: str, given: Mapping[str, Any]) -> list[Any]:
    resize = keras.layers.UpSampling2D(2, "channels_last", interpolation)
    refine = {"kernel_size": 3, "padding": "same"}
    return [resize, *(convolution(refine, given) if given else [])]


def _shuffled(given: Mapping[str, Any]) -> list[Any]:
    if not given:
        return [PixelShuffle(2)]
    wide = {**given, "filters": 4 * given["filters"]}
    return [*convolution({"kernel_size": 3, "padding": "same"}, wide), PixelShuffle(2)]


_METHODS: Final[dict[str, Method]] = {
    "conv2d_transpose": (_transposed, "yes"),
    "bilinear": (partial(_interpolated, "bilinear"), "no"),
    "nearest": (partial(_interpolated, "nearest"), "no"),
    "bilinear_conv2d": (partial(_interpolated, "bilinear"), "yes"),
    "nearest_conv2d": (partial(_interpolated, "nearest"), "yes"),
    "pixel_shuffle": (_shuffled, "if filters"),
}


@component(
    "dl_techniques>upsample",
    kind="function",
    tags=("upsampling", "vision"),
    aliases=("dl_techniques>Upsample",),
    since="0.1",
)
def upsample(
    x: Tensor | None = None,
    upsample_type: str = "conv2d_transpose",
    filters: int | None = None,
    conv_params: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Any:
    """Make layers that double height and width, and apply them if a tensor is given.

    Args:
        x: A tensor `(batch, height, width, channels)` to apply the layers to, or `None`.
        upsample_type: `"conv2d_transpose"`: 2 x 2 with strides 2, or, with
            `conv_params={"kernel_size": 4}`, overlapping 4 x 4; `"bilinear"`, `"nearest"`:
            interpolation, with half-pixel centres; `"bilinear_conv2d"`, `"nearest_conv2d"`: the
            same, then 3 x 3; `"pixel_shuffle"`: four channels become 2 x 2 pixels, if
            `filters` are given after 3 x 3 to four times as many.
        filters: Number of output channels, where there is a convolution.
        conv_params: Further arguments of the convolution.
        name: Name of the sequence.

    Returns:
        A `keras.Sequential`, or, if `x` is given, its output.

    Raises:
        ValueError: If the type is unknown, or `filters` or `conv_params` is given without a
            convolution, or `filters` is missing with one.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import upsample
        >>> tuple(upsample(keras.ops.ones((1, 3, 5, 4)), "bilinear_conv2d", filters=2).shape)
        (1, 6, 10, 2)
    """
    return resampling(x, _METHODS, "upsample_type", upsample_type, filters, conv_params, name)
