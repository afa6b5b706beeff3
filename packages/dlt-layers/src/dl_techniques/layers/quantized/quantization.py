"""Rounding to a few levels, with gradients that pass straight through."""

from __future__ import annotations

from typing import Any

from keras import ops

from dl_techniques.core import Tensor
from dl_techniques.layers.arguments import require_one_of, require_positive_numbers

MEASURES = ("absmean", "absmedian", "absmax")


def measured(x: Tensor, measure: str, axis: int | None = None) -> Tensor:
    """Return the typical size of a tensor's entries, without gradient.

    Args:
        x: A float32 tensor.
        measure: `"absmean"`, `"absmedian"` or `"absmax"`.
        axis: The axis over which to measure; `None` for all.
    """
    magnitude = ops.abs(ops.stop_gradient(x))
    keepdims = axis is not None
    if measure == "absmax":  # of an empty batch: zero
        return ops.max(magnitude, axis=axis, keepdims=keepdims, initial=0.0)
    function = {"absmean": ops.mean, "absmedian": ops.median}[measure]
    return function(magnitude, axis=axis, keepdims=keepdims)


def straight_through(x: Tensor, quantized: Tensor, share: float = 1.0) -> Tensor:
    """Return quantized values whose gradient is that of x.

    The sum of a constant and of x - x is the quantized value to the bit; the usual
    x + (q - x) is not.

    Args:
        x: A tensor.
        quantized: Its rounded values.
        share: How much is quantized: x + share (q - x).
    """
    constant = ops.stop_gradient(x)
    quantized = ops.stop_gradient(quantized)
    if share != 1.0:
        quantized = constant + share * (quantized - constant)
    return quantized + (x - constant)


def quantized_tokens(x: Tensor, bits: int, measure: str, epsilon: float) -> tuple[Tensor, Tensor]:
    """Scale and round each vector of the last axis.

    s = (2^(b - 1) - 1) / max(measure |x|, epsilon), q = clip(round(s x), -2^(b - 1), 2^(b - 1) - 1)

    Args:
        x: A float32 tensor.
        bits: Number of bits b.
        measure: One of `MEASURES`.
        epsilon: Smallest measure.

    Returns:
        Integers as floats, and their scales s, with a last axis of length one.
    """
    largest = 2 ** (bits - 1) - 1
    scale = largest / ops.maximum(measured(x, measure, axis=-1), epsilon)
    levels = ops.round(x * scale)
    # The largest magnitude becomes the largest level: nothing is left to clip.
    return levels if measure == "absmax" else ops.clip(levels, -largest - 1, largest), scale


def weight_levels(bits: float) -> int:
    """Return the largest integer of a weight: 1 for 1.58 bits, else 2^(b - 1) - 1.

    Args:
        bits: Number of bits, 1.58 for the three values -1, 0, 1.
    """
    return 1 if bits == 1.58 else 2 ** (int(bits) - 1) - 1


def rounded_weight(z: Tensor, levels: int, noise: Any = None) -> Tensor:
    """Round scaled weights to integers within the levels.

    Args:
        z: The scaled weights.
        levels: Largest integer.
        noise: Uniform numbers from 0 to 1, to round up with the probability of the fraction;
            `None` to round to the nearest.
    """
    q = ops.round(z) if noise is None else ops.floor(z + noise)
    return ops.clip(q, -levels, levels)


def require_activation_bits(bits: Any, measure: str, epsilon: Any) -> None:
    """Check how inputs are rounded.

    Args:
        bits: Number of bits.
        measure: One of `MEASURES`.
        epsilon: Smallest measure.

    Raises:
        ValueError: Naming the argument of a layer that is invalid.
    """
    if bits not in range(2, 9):
        raise ValueError(
            f"`activation_bits` must be an integer from 2 to 8. Received: activation_bits={bits!r}"
        )
    require_one_of(MEASURES, activation_measure=measure)
    require_positive_numbers(epsilon=epsilon)
