"""Extension of images beyond their borders, the same on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from dl_techniques.core import Tensor

BORDERS = ("same", "reflect", "symmetric", "nearest")
"""Known extensions: zeros, d c b|a b c d|c b a, d c b a|a b c d|d c b a, a a a|a b c d|d d d."""


def pad_axis(x: Tensor, axis: int, before: int, after: Any, border: str) -> Tensor:
    """Extend one axis of a tensor.

    `keras.ops.pad` repeats the edge on PyTorch where it should mirror, and limits the extension
    to the axis's length on TensorFlow. Here an axis may be extended by any amount, by several
    periods of the mirrored image.

    Args:
        x: A tensor of rank 4.
        axis: The axis to extend.
        before: Number of new elements before the first one.
        after: Number of new elements after the last one; a scalar tensor where the size is unknown.
        border: One of `BORDERS`: `"same"` for zeros, `"reflect"` to mirror without the edge,
            `"symmetric"` to mirror with the edge, `"nearest"` to repeat the edge.

    Example:
        >>> import numpy as np
        >>> x = np.arange(3.0).reshape(1, 3, 1, 1)
        >>> np.ravel(pad_axis(x, 1, 2, 2, "symmetric")).tolist()
        [1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 1.0]
    """
    if isinstance(after, int) and before == after == 0:
        return x
    if border == "same":
        widths = [(0, 0)] * len(x.shape)
        widths[axis] = (before, after)
        return ops.pad(x, widths)
    size = ops.shape(x)[axis]
    return ops.take(x, _places(size, before, after, border), axis=axis)


def _places(size: Any, before: int, after: Any, border: str) -> Any:
    """Return the index of each element of an extended axis.

    An unknown size is a tensor on TensorFlow; a known one needs no operations in the graph.
    """
    xp: Any = np if isinstance(size, int) else ops
    places = xp.arange(-before, size + after, dtype="int32")
    if border == "nearest":
        return xp.clip(places, 0, size - 1)
    if border == "symmetric":
        return (2 * size - 1 - abs(2 * (places % (2 * size)) - (2 * size - 1))) // 2
    period = xp.maximum(2 * (size - 1), 1)
    return (period - abs(2 * (places % period) - period)) // 2
