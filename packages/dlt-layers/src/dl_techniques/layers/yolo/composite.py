"""What the blocks that are made of several `ConvBlock`s share."""

from __future__ import annotations

from typing import Any

import keras

from dl_techniques.core import resolve
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer
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
        initializer = self.kernel_initializer
        return {
            "activation": resolve(self.activation, kind="activation", fresh=True),
            # An initializer gives the same numbers at every call, so siblings must not share it.
            "kernel_initializer": initializer.clone()
            if isinstance(initializer, keras.initializers.Initializer)
            else initializer,
            "data_format": self.data_format,
            "dtype": self.dtype_policy,
        }

    def _conv(self, filters: int, kernel_size: int = 1, **settings: Any) -> ConvBlock:
        return ConvBlock(filters, kernel_size, **{**self._shared(), **settings})


def share_of(filters: int, expansion: float) -> int:
    """Channels inside a block: `expansion` of `filters`, rounded down.

    Args:
        filters: Channels of the block's output.
        expansion: The share.

    Raises:
        ValueError: If nothing is left.
    """
    inner = int(filters * expansion)
    if inner < 1:
        raise ValueError(
            "`expansion` must leave at least one of `filters`. "
            f"Received: expansion={expansion}, filters={filters}"
        )
    return inner
