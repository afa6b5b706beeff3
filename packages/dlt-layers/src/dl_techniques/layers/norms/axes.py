"""The axes over which a norm is taken."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from dl_techniques.core import Shape, Tensor

Axis = int | tuple[int, ...]

# The root of zero has no gradient. This is far below the squares that float32 can tell apart
# from zero beside any other.
_TINY = 1e-30


def checked_axis(axis: int | Sequence[int]) -> Axis:
    """The argument `axis` as it is stored: an integer or a tuple.

    Args:
        axis: The user's argument.

    Raises:
        ValueError: If it names no axis at all.
    """
    stored = axis if isinstance(axis, int) else tuple(axis)
    if stored == ():
        raise ValueError(f"`axis` must name at least one axis. Received: axis={axis}")
    return stored


def positive_axes(axis: Axis, rank: int) -> tuple[int, ...]:
    """`axis` as ascending non-negative axes of a tensor of `rank`.

    Args:
        axis: One axis or several, negative ones counted from the end.
        rank: How many axes there are.

    Raises:
        ValueError: If an axis is named twice or does not exist.
    """
    given = (axis,) if isinstance(axis, int) else axis
    axes = sorted(index + rank if index < 0 else index for index in given)
    if len(set(axes)) < len(axes) or axes[0] < 0 or axes[-1] >= rank:
        raise ValueError(
            "`axis` must name distinct axes of the input. "
            f"Received: axis={axis} for an input of rank {rank}"
        )
    return tuple(axes)


def known_sizes(axis: Axis, input_shape: Shape) -> list[int]:
    """The input's sizes on `axis`, for a weight with one number for each position there.

    Args:
        axis: One axis or several.
        input_shape: The whole shape.

    Raises:
        ValueError: If a size is not known.
    """
    sizes = [input_shape[index] for index in positive_axes(axis, len(input_shape))]
    if None in sizes:
        raise ValueError(
            f"The sizes on `axis` must be known. Received: axis={axis}, input_shape={input_shape}"
        )
    return [int(size) for size in sizes if size is not None]


def spread(weight: Tensor, axis: Axis, x: Tensor) -> Tensor:
    """A weight over `axis`, shaped to broadcast over `x`.

    Args:
        weight: One number for each position on `axis`.
        axis: One axis or several.
        x: The tensor to combine it with.
    """
    rank = len(x.shape)
    axes = positive_axes(axis, rank)
    if axes[0] == rank - len(axes):
        return weight
    sizes = dict(zip(axes, weight.shape, strict=True))
    return ops.reshape(weight, [sizes.get(index, 1) for index in range(rank)])


def sum_square(x: Tensor, axes: Sequence[int], mask: Tensor | None = None) -> Tensor:
    """The sum of x^2 over `axes`, which are kept; no axes leave x^2 as it is.

    Args:
        x: A tensor in float32 at least.
        axes: Non-negative axes.
        mask: True where a position counts; over the leading axes of `x`.
    """
    squares = ops.square(x)
    # Backends disagree on what an empty `axis` means.
    if not axes:
        return squares
    shown = _shown(x, axes, mask)
    if shown is not None:
        squares = ops.where(shown, squares, ops.zeros_like(squares))
    return ops.sum(squares, axis=tuple(axes), keepdims=True)


def mean_square(x: Tensor, axes: Sequence[int], mask: Tensor | None = None) -> Tensor:
    """The mean of x^2 over `axes`, which are kept.

    Args:
        x: A tensor in float32 at least.
        axes: Non-negative axes.
        mask: True where a position counts; over the leading axes of `x`.
    """
    shown = _shown(x, axes, mask)
    if shown is None:
        return ops.mean(ops.square(x), axis=tuple(axes), keepdims=True)
    ones = ops.where(shown, ops.ones_like(x), ops.zeros_like(x))
    count = ops.sum(ones, axis=tuple(axes), keepdims=True)
    return sum_square(x, axes, mask) / ops.maximum(count, 1.0)


def norm(x: Tensor, axes: Sequence[int], mask: Tensor | None = None) -> Tensor:
    """||x||_2 over `axes`, which are kept; its gradient at zero is zero.

    Args:
        x: A tensor in float32 at least.
        axes: Non-negative axes; without any it is |x|.
        mask: True where a position counts; over the leading axes of `x`.
    """
    return ops.sqrt(sum_square(x, axes, mask) + _TINY)


def _shown(x: Tensor, axes: Sequence[int], mask: Tensor | None) -> Tensor | None:
    """The mask in the rank of `x`; `None` where it reaches none of the axes.

    So the usual norm, of each token by itself, costs nothing more with a mask.
    """
    if mask is None or min(axes) >= len(mask.shape):
        return None
    shown = ops.cast(mask, "bool")
    for _ in range(len(x.shape) - len(mask.shape)):
        shown = ops.expand_dims(shown, -1)
    return shown
