"""Inputs that are feature maps of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dl_techniques.core import Shape
from dl_techniques.layers.arguments import require_integers
from dl_techniques.layers.conv.channels_last import channels_of


def shapes_of(input_shape: Any) -> list[Shape]:
    """The shapes of all levels; one shape stands for one level.

    Args:
        input_shape: A shape or a list of shapes.

    Raises:
        ValueError: If one is not that of an image.
    """
    single = all(size is None or isinstance(size, int) for size in input_shape)
    shapes = [tuple(input_shape)] if single else [tuple(shape) for shape in input_shape]
    for shape in shapes:
        channels_of(shape)
    return shapes


def maps_of(inputs: Any) -> list[Any]:
    """The maps of all levels; one tensor stands for one level.

    Args:
        inputs: A tensor or a list of tensors.
    """
    return list(inputs) if isinstance(inputs, list | tuple) else [inputs]


def checked_strides(strides: Sequence[int]) -> tuple[int, ...]:
    """The strides of the levels as a tuple.

    Args:
        strides: The argument.

    Raises:
        ValueError: If it is empty, or one is not a positive integer.
    """
    if isinstance(strides, int) or not strides:
        raise ValueError(f"`strides` must be one number a level. Received: strides={strides}")
    for stride in strides:
        require_integers(strides=stride)
    return tuple(strides)


def require_levels(shapes: Sequence[Shape], strides: Sequence[int]) -> None:
    """Refuse another number of levels than there are strides.

    Args:
        shapes: Shapes of the levels.
        strides: Their strides.

    Raises:
        ValueError: If the numbers differ.
    """
    if len(shapes) != len(strides):
        raise ValueError(
            "There must be one feature map for each of `strides`. "
            f"Received: strides={tuple(strides)}, input_shape={list(shapes)}"
        )
