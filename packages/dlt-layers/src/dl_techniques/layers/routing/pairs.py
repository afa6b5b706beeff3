"""Shapes of layers that take two tensors."""

from __future__ import annotations

from typing import Any

from dl_techniques.core import Shape


def pair_of_shapes(input_shape: Any) -> tuple[Shape, Shape]:
    """Return the shapes of two inputs.

    Args:
        input_shape: Argument of `build`.

    Raises:
        ValueError: If there are not two.
    """
    shapes = tuple(input_shape)
    if len(shapes) != 2 or not all(isinstance(shape, list | tuple) for shape in shapes):
        raise ValueError(f"The input must be two tensors. Received: input_shape={input_shape}")
    return tuple(shapes[0]), tuple(shapes[1])


def require_one_shape(input_shape: Any) -> Shape:
    """Return the one shape of two inputs.

    Args:
        input_shape: Argument of `build`.

    Raises:
        ValueError: If there are not two inputs, or their shapes differ.
    """
    first, second = pair_of_shapes(input_shape)
    same = len(first) == len(second) and all(
        n == m or None in (n, m) for n, m in zip(first, second, strict=True)
    )
    if not same:
        raise ValueError(f"Both tensors must have one shape. Received: input_shape={input_shape}")
    return first
