"""Images as a grid of patches, and the grid as a sequence of tokens."""

from __future__ import annotations

from typing import Any

from keras import ops

from dl_techniques.core import Shape, Tensor


def require_whole_patches(input_shape: Any, patch: tuple[int, int], advice: str = "") -> None:
    """Refuse images that are known to be no whole number of patches.

    Args:
        input_shape: `(batch, height, width, channels)`; unknown sizes pass.
        patch: Height and width of a patch.
        advice: The remedy.

    Raises:
        ValueError: If a side of the image is no multiple of the patch's.
    """
    sizes = zip(input_shape[1:3], patch, strict=True)
    if any(isinstance(size, int) and size % side for size, side in sizes):
        raise ValueError(
            "The image must be a whole number of patches: height and width multiples of "
            f"`patch_size`{advice}. Received: input_shape={tuple(input_shape)}, patch_size={patch}"
        )


def token_shape(input_shape: Shape, patch: tuple[int, int], width: int, flatten: bool) -> Shape:
    """The shape of one token for each patch, begun ones included.

    Args:
        input_shape: `(batch, height, width, channels)`.
        patch: Height and width of a patch.
        width: Numbers of a token.
        flatten: Whether the tokens are a sequence, not a map.
    """
    rows, columns = (
        None if size is None else -(-size // side)
        for size, side in zip(input_shape[1:3], patch, strict=True)
    )
    if not flatten:
        return (input_shape[0], rows, columns, width)
    return (input_shape[0], None if rows is None or columns is None else rows * columns, width)


def as_sequence(tokens: Tensor) -> Tensor:
    """A map of tokens `(batch, rows, columns, width)`, row after row.

    Args:
        tokens: The map; only its width must be known.
    """
    batch, rows, columns, width = ops.shape(tokens)
    return ops.reshape(tokens, (batch, rows * columns, width))
