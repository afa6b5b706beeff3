"""Contrast-limited adaptive histogram equalization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    is_number,
    upcast,
)
from dl_techniques.layers.arguments import require_integers, require_pair
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, channels_of
from dl_techniques.layers.image.tiles import Tiles, equalizing_tables, interpolated
from dl_techniques.layers.same_shape import SameShape


@component(
    "dl_techniques>CLAHE",
    kind="layer",
    tags=("image", "contrast", "vision"),
    since="0.1",
)
class CLAHE(SameShape, ChannelsLastLayer):
    """Contrast-limited adaptive histogram equalization: equalizes each part of an image.

    For each tile of a pixels and n bins, with the limit L = max(floor(clip a / n), 1):
    h'_b = min(h_b, L) + the share of the excess sum_b max(h_b - L, 0)
    T(v) = round((n - 1) / a sum_{b <= v} h'_b)
    y = the tables T of the four nearest tiles at x, interpolated bilinearly and rounded

    The result equals OpenCV's `createCLAHE` for images of integers from 0 to 255. The original
    dl_techniques does not interpolate between tiles, which shows their borders.

    Images are scaled from `value_range` to the bins, rounded, and scaled back. Each channel is an
    image of its own; to keep the hue, equalize the lightness of a colour space that has one. The
    result is piecewise constant: all gradients are zero.

    Args:
        clip_limit: Largest share of a bin, as a multiple of that of a flat histogram; zero or
            less for no limit.
        n_bins: Number of grey levels n.
        tile_size: Largest edge of a tile in pixels: an axis has ceil(size / tile_size) tiles.
        tile_grid_size: Number of tiles, (rows, columns), instead of their size. OpenCV takes
            (columns, rows).
        value_range: Values of black and white.
        data_format: `"channels_last"`, or `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`; height and width may be unknown. If the tiles do not
        divide them, the image is mirrored beyond its bottom and its right.

    Output shape:
        The input's.

    Raises:
        ValueError: If `clip_limit` is not a number, `n_bins` is below two, a size is not a
            positive integer, or `value_range` is empty.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import CLAHE
        >>> x = np.arange(100, 116.0).reshape(1, 4, 4, 1)
        >>> y = CLAHE(clip_limit=0.0, tile_grid_size=(1, 1))(x)
        >>> np.asarray(y)[0, 0, :, 0].astype(int).tolist()
        [16, 32, 48, 64]

    References:
        Zuiderveld, "Contrast Limited Adaptive Histogram Equalization", Graphics Gems IV, 1994;
        Pizer et al., "Adaptive Histogram Equalization and Its Variations", Computer Vision,
        Graphics, and Image Processing 39(3), 1987.
    """

    def __init__(
        self,
        clip_limit: float = 4.0,
        n_bins: int = 256,
        tile_size: Count = 16,
        tile_grid_size: tuple[int, int] | None = None,
        value_range: tuple[float, float] = (0, 255),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not is_number(clip_limit):
            raise ValueError(
                f"`clip_limit` must be a finite number. Received: clip_limit={clip_limit!r}"
            )
        require_integers(2, n_bins=n_bins)
        pair = list(value_range) if isinstance(value_range, list | tuple) else []
        if len(pair) != 2 or not all(map(is_number, pair)) or not pair[0] < pair[1]:
            raise ValueError(
                "`value_range` must be (low, high), low < high. "
                f"Received: value_range={value_range!r}"
            )
        self.clip_limit = clip_limit
        self.n_bins = n_bins
        self.tile_size = tile_size
        self.tile_grid_size = (
            None if tile_grid_size is None else require_pair(tile_grid_size=tile_grid_size)
        )
        self.value_range = tuple(value_range)

    def build(self, input_shape: Shape) -> None:
        """Check the input's shape."""
        channels_of(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Equalize in float32 and return the compute dtype."""
        if inputs.shape[0] == 0:  # no histogram: `segment_sum` of nothing fails on some backends
            return ops.cast(inputs, self.compute_dtype)
        x = ops.stop_gradient(upcast(inputs))
        low, high = self.value_range
        step = (high - low) / (self.n_bins - 1)
        # A value that is not a number belongs to no bin, and stays what it is.
        known = ops.where(ops.isnan(x), ops.zeros_like(x), x)
        level = ops.clip(ops.round((known - low) / step), 0, self.n_bins - 1)
        level = ops.cast(level, "int32")
        height, width = ops.shape(level)[1:3]
        tiles = Tiles.of(height, width, self.tile_grid_size or self._counts(height, width))
        tables = equalizing_tables(level, tiles, self.n_bins, self.clip_limit)
        y = ops.round(interpolated(tables, level, tiles, self.n_bins)) * step + low
        return ops.cast(ops.where(ops.isnan(x), x, y), self.compute_dtype)

    def _counts(self, height: Any, width: Any) -> tuple[Any, Any]:
        return -(-height // self.tile_size), -(-width // self.tile_size)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Tiles by size; by number, with few bins of a range of floats."""
        traits = frozenset({"not_differentiable"})
        images = TensorSpec((2, 9, 12, 1), low=0.0, high=255.0)
        yield Example(cls, {}, images, traits=traits)
        config = {"clip_limit": 2.0, "n_bins": 16, "tile_grid_size": (2, 3), "value_range": (-1, 1)}
        yield Example(cls, config, TensorSpec((2, 7, 8, 2)), traits=traits, name="sixteen_bins")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid limits, bins, tiles and ranges."""
        yield Rejection(cls, {"clip_limit": "low"}, "clip_limit")
        yield Rejection(cls, {"n_bins": 1}, "n_bins")
        yield Rejection(cls, {"tile_grid_size": (2, 0)}, "tile_grid_size")
        yield Rejection(cls, {"value_range": (1, 1)}, "value_range")
        yield Rejection(cls, {}, "input_shape", build=(1, 9, 9))
