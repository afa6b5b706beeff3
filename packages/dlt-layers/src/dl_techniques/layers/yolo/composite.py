"""Base of blocks of several `ConvBlock`s."""

from __future__ import annotations

from typing import Any

import keras

from dl_techniques.core import resolve
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer
from dl_techniques.layers.parts import fresh_initializer
from dl_techniques.layers.yolo.conv_block import ConvBlock


class Composite(ChannelsLastLayer):
    """A layer whose parts are `ConvBlock`s with one activation and one way to start.

    Args:
        activation: Activation of the convolutions; see `ConvBlock`.
        kernel_initializer: Initializer of their kernels.
        **kwargs: Arguments of `keras.layers.Layer`, and `data_format`.
    """

    def __init__(self, activation: Any, kernel_initializer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activation
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def _shared(self) -> dict[str, Any]:
        """Arguments that all parts take from their owner, anew for each part."""
        return {
            "activation": resolve(
                self.activation, kind="activation", fresh=True, dtype=self.dtype_policy
            ),
            "kernel_initializer": fresh_initializer(self.kernel_initializer),
            "data_format": self.data_format,
            "dtype": self.dtype_policy,
        }

    def _conv(self, filters: int, kernel_size: int = 1, **settings: Any) -> ConvBlock:
        return ConvBlock(filters, kernel_size, **{**self._shared(), **settings})


def share_of(
    width: int, share: float, *, filters: str = "filters", expansion: str = "expansion"
) -> int:
    """Channels inside a block: a share of its output's, rounded down.

    Args:
        width: Channels of the block's output.
        share: The share.
        filters: The block's name of the former.
        expansion: Its name of the latter.

    Raises:
        ValueError: If nothing is left.
    """
    inner = int(width * share)
    if inner < 1:
        raise ValueError(
            f"`{expansion}` must leave at least one channel of `{filters}`. "
            f"Received: {expansion}={share}, {filters}={width}"
        )
    return inner
