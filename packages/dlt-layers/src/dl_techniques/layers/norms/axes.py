"""The axes over which a norm is taken."""

from __future__ import annotations

from collections.abc import Sequence

from dl_techniques.core import Shape

Axis = int | tuple[int, ...]


def checked_axis(axis: int | Sequence[int]) -> Axis:
    """The argument `axis` as it is stored: an integer or a tuple.

    Args:
        axis: What the user gave.

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


def broadcast_shape(axis: Axis, input_shape: Shape) -> list[int]:
    """The shape in which a weight over `axis` broadcasts over the input.

    Args:
        axis: One axis or several.
        input_shape: The whole shape, known on `axis`.
    """
    rank = len(input_shape)
    shape = [1] * rank
    for index, size in zip(positive_axes(axis, rank), known_sizes(axis, input_shape), strict=True):
        shape[index] = size
    return shape
