"""The same preprocessing inside a model, for a fixed size of images, of Keras's own layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from dl_techniques.weights.preprocess import Preprocess, margins
from dl_techniques.weights.resampling import resampling_matrix


def preprocessing_model(
    preprocess: Preprocess | Mapping[str, Any], input_shape: tuple[int, int, int]
) -> Any:
    """Build a model that prepares images of one size, to put before a pretrained model.

    It resizes with two products in floating point, where Pillow rounds to bytes twice: the two
    differ by about one grey level, before the normalisation.

    Args:
        preprocess: The recipe, or its arguments as a mapping.
        input_shape: Height, width and channels of the images, whose values are 0 to 255.

    Returns:
        A `keras.Model` without trainable weights.

    Raises:
        ValueError: If the channels are not those of `mean`.

    Example:
        >>> from dl_techniques.weights import preprocessing_model
        >>> model = preprocessing_model({"size": 4, "crop_pct": 0.8}, (6, 8, 3))
        >>> model.output_shape
        (None, 4, 4, 3)
    """
    p = preprocess if isinstance(preprocess, Preprocess) else Preprocess(**preprocess)
    if len(input_shape) != 3 or input_shape[2] != len(p.mean):
        raise ValueError(
            f"`input_shape` must be (height, width, {len(p.mean)}). Received: {input_shape}"
        )
    size = p.resized(*input_shape[:2])
    x = inputs = keras.Input(input_shape, name="images")
    # Pillow's order: columns first. It keeps to bytes in between, so negative lobes are clipped.
    for axis, equation in ((1, "bhwc,wn->bhnc"), (0, "bhwc,hn->bnwc")):
        old, new = input_shape[axis], size[axis]
        if old != new:
            matrix = resampling_matrix(old, new, p.filter, antialias=p.antialias)
            x = keras.layers.ReLU(max_value=255.0)(_product(equation, matrix.T, x, axis))
    if p.pad != "zero":
        x = _fit(x, p.shape)
    low, high = p.range
    scale = [(high - low) / 255.0 / s for s in p.std]
    offset = [(low - m) / s for m, s in zip(p.mean, p.std, strict=True)]
    x = keras.layers.Rescaling(scale, offset, name="normalize")(x)
    return keras.Model(inputs, _fit(x, p.shape), name="preprocessing")


def _product(equation: str, matrix: Any, x: Any, axis: int) -> Any:
    shape = list(x.shape[1:])
    shape[axis] = matrix.shape[1]
    layer = keras.layers.EinsumDense(equation, tuple(shape), trainable=False)
    y = layer(x)
    layer.kernel.assign(matrix.astype(np.float32))
    return y


def _fit(x: Any, shape: tuple[int, int]) -> Any:
    sides = [margins(old, new) for old, new in zip(x.shape[1:3], shape, strict=True)]
    if any(side[:2] != (0, 0) for side in sides):
        x = keras.layers.ZeroPadding2D([side[:2] for side in sides])(x)
    if any(side[2:] != (0, 0) for side in sides):
        x = keras.layers.Cropping2D([side[2:] for side in sides])(x)
    return x
