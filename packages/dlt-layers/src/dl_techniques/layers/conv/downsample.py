"""Ways to halve height and width, chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import keras

from dl_techniques.core import Tensor, component
from dl_techniques.layers.conv.channels_last import require_channels_last
from dl_techniques.layers.conv.conv2d_builder import conv2d_builder
from dl_techniques.layers.conv.space_to_depth import SpaceToDepth

Method = tuple[Callable[[Mapping[str, Any]], list[Any]], str]
"""How the layers are made from the convolution's arguments, and whether there is a convolution:
"yes", "no", or "if filters" are given."""


def convolution(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> list[Any]:
    """The layers of a convolution, with padding if need be.

    Args:
        defaults: Its arguments.
        given: Arguments that replace them.
    """
    return list(conv2d_builder(conv_params={**defaults, **given}).layers)


def _pool(cls: type[Any]) -> Any:
    # "same" keeps the last row and column of odd images: every method rounds sizes up.
    return cls(2, 2, padding="same", data_format="channels_last")


def _strided(given: Mapping[str, Any]) -> list[Any]:
    return convolution({"kernel_size": 3, "strides": 2, "padding": "symmetric"}, given)


def _patches(given: Mapping[str, Any]) -> list[Any]:
    return convolution({"kernel_size": 2, "strides": 2, "padding": "same"}, given)


def _pooled(given: Mapping[str, Any]) -> list[Any]:
    pool = _pool(keras.layers.MaxPooling2D)
    return [pool, *convolution({"kernel_size": 3, "padding": "same"}, given)]


def _stacked(given: Mapping[str, Any]) -> list[Any]:
    return [SpaceToDepth(2), *(convolution({"kernel_size": 1}, given) if given else [])]


_METHODS: Final[dict[str, Method]] = {
    "conv2d": (_strided, "yes"),
    "conv2d_2x2": (_patches, "yes"),
    "maxpool": (lambda _: [_pool(keras.layers.MaxPooling2D)], "no"),
    "avgpool": (lambda _: [_pool(keras.layers.AveragePooling2D)], "no"),
    "maxpool_conv2d": (_pooled, "yes"),
    # The maximum of one pixel is the pixel: this is x[:, ::2, ::2] as a layer of Keras's own.
    "strides": (lambda _: [keras.layers.MaxPooling2D(1, 2, data_format="channels_last")], "no"),
    "space_to_depth": (_stacked, "if filters"),
}


@component(
    "dl_techniques>downsample",
    kind="function",
    tags=("downsampling", "vision"),
    aliases=("dl_techniques>Downsample",),
    since="0.1",
)
def downsample(
    x: Tensor | None = None,
    downsample_type: str = "conv2d",
    filters: int | None = None,
    conv_params: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Any:
    """Make layers that halve height and width, and apply them if a tensor is given.

    Odd sizes are rounded up; `"space_to_depth"` refuses them.

    Args:
        x: A tensor `(batch, height, width, channels)` to apply the layers to, or `None`.
        downsample_type: `"conv2d"`: 3 x 3 with strides 2 and symmetric padding;
            `"conv2d_2x2"`: 2 x 2 with strides 2, each pixel used once;
            `"maxpool"`, `"avgpool"`: over 2 x 2; `"maxpool_conv2d"`: the first, then 3 x 3;
            `"strides"`: every second pixel; `"space_to_depth"`: 2 x 2 pixels become four times
            the channels, then, if `filters` are given, 1 x 1.
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
        >>> from dl_techniques.layers import downsample
        >>> tuple(downsample(keras.ops.ones((1, 7, 6, 3)), "conv2d", filters=8).shape)
        (1, 4, 3, 8)
    """
    return resampling(x, _METHODS, "downsample_type", downsample_type, filters, conv_params, name)


def resampling(
    x: Tensor | None,
    methods: Mapping[str, Method],
    argument: str,
    chosen: str,
    filters: int | None,
    conv_params: Mapping[str, Any] | None,
    name: str | None,
) -> Any:
    """Make the chosen method's layers, and apply them if a tensor is given.

    Args:
        x: A tensor, or `None`.
        methods: The methods by name.
        argument: Name of the caller's argument.
        chosen: The choice.
        filters: Number of output channels.
        conv_params: Further arguments of the convolution.
        name: Name of the sequence.
    """
    require_channels_last(None, argument.partition("_")[0])
    if chosen not in methods:
        raise ValueError(
            f"`{argument}` must be one of {', '.join(methods)}. Received: {argument}={chosen!r}"
        )
    make, convolves = methods[chosen]
    if convolves == "yes" and filters is None:
        raise ValueError(
            f"`filters` is needed for {argument}={chosen!r}. Received: filters={filters}"
        )
    if conv_params and (convolves == "no" or filters is None):
        raise ValueError(
            f"`conv_params` is for a convolution, and {argument}={chosen!r} without `filters` has "
            f"none. Received: conv_params={dict(conv_params)}, filters={filters}"
        )
    if convolves == "no" and filters is not None:
        raise ValueError(
            f"`filters` is for a convolution, and {argument}={chosen!r} has none. "
            f"Received: filters={filters}"
        )
    given = {} if filters is None else {"filters": filters, **(conv_params or {})}
    block = keras.Sequential(make(given), name=name)
    return block if x is None else block(x)
