"""The graph of ConvUNext."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from dl_techniques.core import Tensor
from dl_techniques.models.vision.graph import drop_path_rates, truncated_normal
from dl_techniques.models.vision.resize_like import ResizeLike


class Parts:
    """Makes the parts of one network.

    Args:
        block: Makes a block.
        kernel_size: Side of the stem's kernel and of the depthwise ones.
        use_bias: Whether layers have biases.
        blocks: Blocks of a level.
        drop_path: Rate of stochastic depth of the last block.
        seed: Seed of stochastic depth.
    """

    def __init__(
        self,
        block: Callable[..., Any],
        kernel_size: int,
        use_bias: bool,
        blocks: int,
        drop_path: float,
        seed: int | None,
    ) -> None:
        self.block = block
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.count = blocks
        self.drop_path = drop_path
        self.seed = seed

    def head(self, x: Tensor, channels: int, activation: Any, name: str) -> Tensor:
        """The output of one level.

        Args:
            x: The level's map.
            channels: Channels of the output.
            activation: Its activation.
            name: Name of the layer.
        """
        return self._conv(x, channels, 1, 1, name, activation)

    def unet(self, x: Tensor, widths: Sequence[int], stem_skip: bool) -> list[Tensor]:
        """The maps of the decoder, from the largest to the smallest.

        Args:
            x: Images of sizes that divide.
            widths: Channels of each level and of the middle.
            stem_skip: Whether to add the stem's map to the last one.
        """
        *levels, middle = widths
        self._rates = iter(drop_path_rates(self.drop_path, (2 * len(levels) + 1) * self.count))
        self._made = 0
        x = stem = self._norm(self._conv(x, widths[0], self.kernel_size, 1, "stem"), "stem_norm")
        skips = []
        for i, width in enumerate(levels):
            skips.append(self._blocks(x, width, f"encoder{i}"))
            x = self._norm(skips[-1], f"down{i}_norm")
            x = self._conv(x, widths[i + 1], 2, 2, f"down{i}")
        x = self._blocks(x, middle, "middle")
        maps: list[Tensor] = []
        for i, width in reversed(list(enumerate(levels))):
            x = ResizeLike(name=f"up{i}")([x, skips[i]])
            x = keras.layers.Concatenate(name=f"join{i}")([x, skips[i]])
            x = self._blocks(self._conv(x, width, 1, 1, f"fuse{i}"), width, f"decoder{i}")
            if stem_skip and not i:
                x = keras.layers.Add(name="stem_skip")([x, stem])
            maps.insert(0, x)
        return maps

    def _conv(
        self, x: Tensor, filters: int, side: int, strides: int, name: str, activation: Any = None
    ) -> Tensor:
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

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return keras.layers.LayerNormalization(epsilon=1e-6, center=self.use_bias, name=name)(x)

    def _blocks(self, x: Tensor, filters: int, name: str) -> Tensor:
        """The blocks of one level."""
        for i in range(self.count):
            self._made += 1
            x = self.block(
                filters,
                self.kernel_size,
                drop_path=next(self._rates),
                use_bias=self.use_bias,
                seed=None if self.seed is None else self.seed + self._made,
                name=f"{name}_block{i}",
            )(x)
        return x
