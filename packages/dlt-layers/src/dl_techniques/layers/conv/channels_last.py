"""Base of layers of images with the channels last."""

from __future__ import annotations

from typing import Any

import keras

from dl_techniques.core import Layer, Shape
from dl_techniques.layers.arguments import require_integers

BATCH_NORMALIZED = frozenset({"changes_in_training"})
"""Traits of an example with batch normalization."""


class ChannelsLastLayer(Layer):
    """A layer of images `(batch, height, width, channels)`.

    Args:
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must then be
            that. It is stored, so that a saved model loads whatever the setting is then.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If the format is another one.
    """

    def __init__(self, *, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = require_channels_last(data_format, type(self).__name__)


def require_channels_last(data_format: str | None, name: str) -> str:
    """Refuse images whose channels are not the last axis.

    Args:
        data_format: The argument; `None` for Keras's own setting.
        name: Name of the layer, for the message.

    Returns:
        `"channels_last"`.

    Raises:
        ValueError: If the format is another one.
    """
    setting = keras.config.image_data_format()
    if (setting if data_format is None else data_format) != "channels_last":
        raise ValueError(
            f"{name} needs the channels on the last axis: `data_format` must be 'channels_last', "
            "or None with keras.config.image_data_format() 'channels_last'. Received: "
            f"data_format={data_format!r} (keras.config.image_data_format() is {setting!r})"
        )
    return "channels_last"


def channels_of(input_shape: Shape) -> int:
    """The number of channels of an image.

    Args:
        input_shape: `(batch, height, width, channels)`.

    Raises:
        ValueError: If the shape has another rank, or the channels are unknown.
    """
    if len(input_shape) != 4 or input_shape[-1] is None:
        raise ValueError(
            "The input must be (batch, height, width, channels) with known channels. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    return input_shape[-1]


def require_strides_or_dilation(strides: int, dilation_rate: int) -> None:
    """Refuse a convolution that steps and is dilated, which not every backend has.

    Args:
        strides: Its step.
        dilation_rate: Step within its kernel.

    Raises:
        ValueError: If one is no positive integer, or both are above 1.
    """
    require_integers(strides=strides, dilation_rate=dilation_rate)
    if strides > 1 and dilation_rate > 1:
        raise ValueError(
            "`strides` above 1 cannot be combined with `dilation_rate` above 1. "
            f"Received: strides={strides}, dilation_rate={dilation_rate}"
        )


def strided(size: int | None, strides: int) -> int | None:
    """Length of an axis after a symmetrically padded convolution: size / strides, rounded up.

    Args:
        size: Length before, `None` if unknown.
        strides: Step of the convolution.
    """
    return None if size is None else -(-size // strides)
