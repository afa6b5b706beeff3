"""Grey-level tables of the tiles of an image, and their interpolation."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from dl_techniques.core import Tensor
from dl_techniques.layers.image.borders import pad_axis


class Tiles(NamedTuple):
    """A grid of equal tiles that covers an image.

    The numbers are integers, or scalar tensors where TensorFlow does not know the image's size.
    """

    rows: Any
    columns: Any
    height: Any
    width: Any

    @classmethod
    def of(cls, height: Any, width: Any, counts: tuple[Any, Any]) -> Tiles:
        """Cover an image with the smallest tiles of which `counts` suffice.

        Args:
            height: Height of the image.
            width: Width of the image.
            counts: Number of tiles, (rows, columns).
        """
        rows, columns = counts
        return cls(rows, columns, -(-height // rows), -(-width // columns))


def equalizing_tables(level: Tensor, tiles: Tiles, bins: int, clip_limit: float) -> Tensor:
    """Return the table of grey levels that equalizes each tile.

    Args:
        level: Int32 grey levels, `(batch, height, width, channels)`.
        tiles: The grid.
        bins: Number of grey levels.
        clip_limit: Limit of a bin, as a multiple of that of a flat histogram; not positive for
            none.

    Returns:
        Float32 integers, one after the other `(batch, rows, columns, channels, bins)`.
    """
    _, height, width, channels = ops.shape(level)
    level = pad_axis(level, 1, 0, tiles.rows * tiles.height - height, "reflect")
    level = pad_axis(level, 2, 0, tiles.columns * tiles.width - width, "reflect")
    batch, height, width, _ = ops.shape(level)
    rows = ops.arange(height, dtype="int32") // tiles.height
    columns = ops.arange(width, dtype="int32") // tiles.width
    bin_of = _first_bins(batch, rows, columns, channels, tiles, bins) + level
    tables = batch * tiles.rows * tiles.columns * channels
    histogram = ops.segment_sum(
        ops.ones_like(ops.reshape(level, (-1,))), ops.reshape(bin_of, (-1,)), tables * bins
    )
    histogram = ops.reshape(histogram, (-1, bins))
    area = tiles.height * tiles.width
    if clip_limit > 0:
        histogram = _clipped(histogram, _limit(area, bins, clip_limit))
    scale = (bins - 1) / ops.cast(area, "float32")
    table = ops.round(ops.cast(ops.cumsum(histogram, axis=-1), "float32") * scale)
    return ops.reshape(table, (-1,))


def interpolated(tables: Tensor, level: Tensor, tiles: Tiles, bins: int) -> Tensor:
    """Look each pixel up in the tables of the four nearest tiles, and mix the results.

    Args:
        tables: From `equalizing_tables`.
        level: The grey levels that the tables were made of.
        tiles: The grid.
        bins: Number of grey levels.
    """
    batch, height, width, channels = ops.shape(level)
    above, below, down = _neighbours(height, tiles.height, tiles.rows)
    left, right, aside = _neighbours(width, tiles.width, tiles.columns)

    def at(rows: Tensor, columns: Tensor) -> Tensor:
        first = _first_bins(batch, rows, columns, channels, tiles, bins)
        return ops.take(tables, first + level, axis=0)

    down, aside = down[:, None, None], aside[:, None]
    upper = at(above, left) * (1.0 - aside) + at(above, right) * aside
    lower = at(below, left) * (1.0 - aside) + at(below, right) * aside
    return upper * (1.0 - down) + lower * down


def _first_bins(
    batch: Any, rows: Tensor, columns: Tensor, channels: int, tiles: Tiles, bins: int
) -> Tensor:
    """Return where the table of each pixel begins, (batch, height, width, channels)."""
    sample = ops.arange(batch, dtype="int32")[:, None, None, None]
    tile = (sample * tiles.rows + rows[:, None, None]) * tiles.columns + columns[:, None]
    return (tile * channels + ops.arange(channels, dtype="int32")) * bins


def _neighbours(size: Any, tile: Any, count: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each place the two tiles whose centres are around it, and the second's weight."""
    places = ops.arange(size, dtype="float32")
    place = places * (1.0 / ops.cast(tile, "float32")) - 0.5
    before = ops.floor(place)
    first = ops.cast(before, "int32")
    return ops.maximum(first, 0), ops.minimum(first + 1, count - 1), place - before


def _limit(area: Any, bins: int, clip_limit: float) -> Any:
    if isinstance(area, int):
        return max(int(clip_limit * area / bins), 1)
    limit = ops.floor(clip_limit * ops.cast(area, "float32") / bins)
    return ops.maximum(ops.cast(limit, "int32"), 1)


def _clipped(histogram: Tensor, limit: Any) -> Tensor:
    """Cut the histogram at the limit and spread the excess over all bins."""
    bins = histogram.shape[-1]
    excess = ops.sum(ops.maximum(histogram - limit, 0), axis=-1, keepdims=True)
    rest = excess % bins
    step = ops.maximum(bins // ops.maximum(rest, 1), 1)
    index = ops.arange(bins, dtype="int32")
    extra = ops.logical_and(index % step == 0, index // step < rest)
    return ops.minimum(histogram, limit) + excess // bins + ops.cast(extra, "int32")
