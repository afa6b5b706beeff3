"""The decoder of dense prediction transformers, as a part of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import keras

from dl_techniques.core import Tensor
from dl_techniques.models.depth_anything.aligned_resize import AlignedResize

HEAD_WIDTH: Final = 32


def _conv(x: Tensor, filters: int, kernel_size: int, name: str, use_bias: bool = True) -> Tensor:
    """A convolution that keeps the size.

    Its bias starts as in the published networks; of zeros it would leave dead regions exactly at
    the kinks of the rectifiers.
    """
    limit = (kernel_size**2 * x.shape[-1]) ** -0.5
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=use_bias,
        bias_initializer=keras.initializers.RandomUniform(-limit, limit),
        name=name,
    )(x)


def reassemble(tokens: Tensor, grid: tuple[int, int], level: int, filters: int) -> Tensor:
    """Tokens with a class token as a map: of 4, 2, 1 or 1/2 places a patch, by level.

    Args:
        tokens: (batch, 1 + patches, dim).
        grid: Rows and columns of patches.
        level: From 0, the finest, to 3.
        filters: Channels of the map.
    """
    name = f"reassemble{level}"
    x = keras.layers.Cropping1D((1, 0), name=f"{name}_patches")(tokens)
    x = keras.layers.Reshape((*grid, tokens.shape[-1]), name=f"{name}_map")(x)
    x = _conv(x, filters, 1, f"{name}_projection")
    if level < 2:
        factor = 4 >> level
        return keras.layers.Conv2DTranspose(
            filters,
            factor,
            strides=factor,
            name=f"{name}_resize",
        )(x)
    if level == 2:
        return x
    x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(filters, 3, strides=2, name=f"{name}_resize")(x)


def _residual(x: Tensor, name: str) -> Tensor:
    """The sum of a map and conv(relu(conv(relu(map))))."""
    y = x
    for i in range(2):
        y = keras.layers.ReLU(name=f"{name}_relu{i}")(y)
        y = _conv(y, x.shape[-1], 3, f"{name}_conv{i}")
    return keras.layers.Add(name=f"{name}_add")([x, y])


def fuse(maps: Sequence[Tensor], filters: int) -> Tensor:
    """Maps of several levels in one, at twice the size of the finest.

    Args:
        maps: From the finest to the coarsest.
        filters: Channels of the result.
    """
    levels = [_conv(x, filters, 3, f"neck{k}", use_bias=False) for k, x in enumerate(maps)]
    sizes = [x.shape[1:3] for x in levels]
    double = tuple(2 * n for n in sizes[0])
    x = levels[-1]
    for level in reversed(range(len(levels))):
        name = f"fusion{level}"
        if level < len(levels) - 1:
            skip = _residual(levels[level], f"{name}_skip")
            x = keras.layers.Add(name=f"{name}_add")([x, skip])
        x = _residual(x, f"{name}_residual")
        size = sizes[level - 1] if level else double
        x = AlignedResize(size, name=f"{name}_resize")(x)
        x = _conv(x, filters, 1, f"{name}_projection")
    return x


def head(x: Tensor, size: tuple[int, int], max_depth: float | None) -> Tensor:
    """Depths from the fused map.

    Args:
        x: The map.
        size: Height and width of the depths.
        max_depth: Largest depth; `None` for relative ones without a bound.
    """
    x = _conv(x, x.shape[-1] // 2, 3, "head0")
    x = AlignedResize(size, name="head_resize")(x)
    x = _conv(x, HEAD_WIDTH, 3, "head1")
    x = keras.layers.ReLU(name="head_relu")(x)
    x = _conv(x, 1, 1, "head2")
    if max_depth is None:
        x = keras.layers.ReLU(name="relative")(x)
    else:
        x = keras.layers.Activation("sigmoid", name="sigmoid")(x)
        x = keras.layers.Rescaling(max_depth, name="metric")(x)
    return keras.layers.Reshape(size, name="depth")(x)
