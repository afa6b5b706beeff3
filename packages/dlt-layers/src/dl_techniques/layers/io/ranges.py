"""Maps between ranges of values."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.layers.arguments import require_numbers


@component("dl_techniques>normalize_tensor", kind="function", tags=("preprocessing",), since="0.1")
def normalize_tensor(
    x: Tensor,
    source_min: float = 0.0,
    source_max: float = 255.0,
    target_min: float = 0.0,
    target_max: float = 1.0,
    clip: bool = False,
) -> Tensor:
    """Map values linearly from a source range to a target range.

    y = (x - source_min) / (source_max - source_min) (target_max - target_min) + target_min

    Values outside the source range end outside the target range, unless `clip`. Integers become
    floats of `keras.config.floatx()`.

    Args:
        x: A tensor of any shape.
        source_min: Value that becomes `target_min`.
        source_max: Value that becomes `target_max`.
        target_min: Start of the target range.
        target_max: End of the target range.
        clip: Whether to confine the result to the target range.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If a number is not finite, or the source range is empty.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import normalize_tensor
        >>> pixels = np.array([0, 51, 255], "uint8")
        >>> ops.convert_to_numpy(normalize_tensor(pixels, target_min=-1.0)).round(4).tolist()
        [-1.0, -0.6000000238418579, 1.0]
    """
    require_ranges(source_min, source_max, target_min, target_max)
    x = as_float(x)
    y = (x - source_min) * ((target_max - target_min) / (source_max - source_min)) + target_min
    return clip_tensor(y, *sorted((target_min, target_max))) if clip else y


@component(
    "dl_techniques>denormalize_tensor", kind="function", tags=("preprocessing",), since="0.1"
)
def denormalize_tensor(
    x: Tensor,
    source_min: float = 0.0,
    source_max: float = 255.0,
    target_min: float = 0.0,
    target_max: float = 1.0,
    clip: bool = False,
) -> Tensor:
    """Map values back from the target range to the source range: undo `normalize_tensor`.

    x = (y - target_min) / (target_max - target_min) (source_max - source_min) + source_min

    Args:
        x: A tensor of any shape, values of the target range.
        source_min: Value that `target_min` came from.
        source_max: Value that `target_max` came from.
        target_min: Start of the target range.
        target_max: End of the target range.
        clip: Whether to confine the result to the source range.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If a number is not finite, or the target range is empty.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import denormalize_tensor
        >>> y = denormalize_tensor(np.array([-1.0, 0.0, 1.0], "float32"), target_min=-1.0)
        >>> ops.convert_to_numpy(y).tolist()
        [0.0, 127.5, 255.0]
    """
    require_ranges(target_min, target_max, source_min, source_max, names=("target", "source"))
    return normalize_tensor(x, target_min, target_max, source_min, source_max, clip)


@component("dl_techniques>clip_tensor", kind="function", tags=("preprocessing",), since="0.1")
def clip_tensor(x: Tensor, clip_min: float = 0.0, clip_max: float = 1.0) -> Tensor:
    """Confine values to a range.

    y = min(max(x, clip_min), clip_max)

    Args:
        x: A tensor of any shape; integers become floats of `keras.config.floatx()`.
        clip_min: Smallest value.
        clip_max: Largest value.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If an end is not finite, or the lower is above the upper.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import clip_tensor
        >>> ops.convert_to_numpy(clip_tensor(np.array([-1.0, 0.25, 3.0], "float32"))).tolist()
        [0.0, 0.25, 1.0]
    """
    require_numbers(clip_min=clip_min, clip_max=clip_max)
    if clip_min > clip_max:
        raise ValueError(
            "`clip_min` must not be above `clip_max`. "
            f"Received: clip_min={clip_min}, clip_max={clip_max}"
        )
    return ops.clip(as_float(x), clip_min, clip_max)


def require_ranges(
    first_min: Any,
    first_max: Any,
    second_min: Any,
    second_max: Any,
    names: tuple[str, str] = ("source", "target"),
) -> None:
    """Refuse ranges that are not finite, and a first one that is empty.

    Args:
        first_min: Start of the range that is divided by.
        first_max: End of it.
        second_min: Start of the other.
        second_max: End of the other.
        names: Names of the two ranges.

    Raises:
        ValueError: Naming the fault.
    """
    first, second = names
    require_numbers(**{f"{first}_min": first_min, f"{first}_max": first_max})
    require_numbers(**{f"{second}_min": second_min, f"{second}_max": second_max})
    if first_min == first_max:
        raise ValueError(
            f"`{first}_min` and `{first}_max` must differ. "
            f"Received: {first}_min={first_min}, {first}_max={first_max}"
        )


def as_float(x: Tensor) -> Tensor:
    """Return a floating tensor; integers and Booleans become `keras.config.floatx()`.

    Args:
        x: A tensor.
    """
    x = ops.convert_to_tensor(x)
    dtype = keras.backend.standardize_dtype(x.dtype)
    return x if "float" in dtype else ops.cast(x, keras.config.floatx())
