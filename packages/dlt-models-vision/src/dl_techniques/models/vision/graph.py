"""Ends of the graphs of vision models: the input, and what follows the last features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from dl_techniques.core import Tensor
from dl_techniques.layers.arguments import require_integers, require_one_of

POOLINGS = ("avg", "max")


def image_input(
    input_shape: Sequence[int | None] | None,
    preprocess: Mapping[str, Any],
    include_preprocessing: bool,
) -> tuple[Tensor, Tensor]:
    """The symbolic images, and what the network is given.

    Args:
        input_shape: Height, width and channels; `None` for the size of `preprocess`, in colour.
        preprocess: Arguments of `Preprocess`.
        include_preprocessing: Whether images of 0 to 255 are normalized here.

    Returns:
        The input of the model and of its first layer.

    Raises:
        ValueError: If the shape is no shape of images, or has other channels than `preprocess`.
    """
    from dl_techniques.weights import Preprocess

    settings = Preprocess(**preprocess)
    shape = (*settings.shape, 3) if input_shape is None else tuple(input_shape)
    sizes = all(n is None or (isinstance(n, int) and n > 0) for n in shape)
    if len(shape) != 3 or not sizes or shape[2] is None:
        raise ValueError(
            "`input_shape` must be (height, width, channels) with known channels. "
            f"Received: input_shape={input_shape}"
        )
    inputs = keras.Input(shape, name="images")
    if not include_preprocessing:
        return inputs, inputs
    if shape[2] != len(settings.mean):
        raise ValueError(
            "`input_shape` must have as many channels as the preprocessing. "
            f"Received: input_shape={input_shape}, mean={settings.mean}"
        )
    low, high = settings.range
    scale = [(high - low) / 255.0 / s for s in settings.std]
    offset = [(low - m) / s for m, s in zip(settings.mean, settings.std, strict=True)]
    return inputs, keras.layers.Rescaling(scale, offset, name="normalize")(inputs)


def require_ends(classes: int, pooling: str | None) -> None:
    """Check what follows the last features, before a large graph is made in vain.

    Args:
        classes: Number of classes.
        pooling: `"avg"`, `"max"` or `None`.

    Raises:
        ValueError: If one is invalid; it names it.
    """
    require_integers(classes=classes)
    if pooling is not None:
        require_one_of(POOLINGS, pooling=pooling)


def pooled(x: Tensor, pooling: str | None) -> Tensor:
    """Pool a map of features.

    Args:
        x: (batch, height, width, channels).
        pooling: `"avg"`, `"max"`, or `None` to leave the map.
    """
    if pooling is None:
        return x
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.layers.GlobalMaxPooling2D(name="pool")(x)


def patch_map(tokens: Tensor, grid: tuple[int, int], prefix: int = 1) -> Tensor:
    """Tokens of patches as a map, (batch, rows, columns, dim).

    Args:
        tokens: (batch, prefix + patches, dim).
        grid: Rows and columns of patches.
        prefix: Number of tokens before the patches.
    """
    patches = keras.layers.Cropping1D((prefix, 0))(tokens)
    return keras.layers.Reshape((*grid, tokens.shape[-1]))(patches)


def classifier(x: Tensor, classes: int, activation: Any) -> Tensor:
    """The last layer, named `head`.

    Args:
        x: (batch, features).
        classes: Number of classes.
        activation: Its activation; `None` for logits.
    """
    dense = keras.layers.Dense(
        classes, activation=activation, kernel_initializer=truncated_normal(), name="head"
    )
    return dense(x)


def truncated_normal(deviation: float = 0.02) -> Any:
    """The initializer of most vision networks, a new one for each kernel.

    Args:
        deviation: Standard deviation before the tails are cut.
    """
    return keras.initializers.TruncatedNormal(stddev=deviation)


def drop_path_rates(rate: float, blocks: int) -> list[float]:
    """Rates of stochastic depth, from 0 in the first block to the whole rate in the last.

    Args:
        rate: Of the last block.
        blocks: Number of blocks.

    Example:
        >>> drop_path_rates(0.2, 3)
        [0.0, 0.1, 0.2]
    """
    return [rate * i / max(blocks - 1, 1) for i in range(blocks)]
