"""Quantized weights of Keras layers: which scale belongs to which weight, and along which axes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.readers.scaled import Scaled
from dl_techniques.weightwatcher.readers.values import Values
from dl_techniques.weightwatcher.readers.weight import Skipped

_INT8_PEAK: Final = 127


class Named(NamedTuple):
    """A variable of one layer."""

    path: str
    variable: str
    values: Values


def scale_axes(kind: str, equation: Any, rank: int) -> tuple[int, ...] | None:
    """The axes of a weight along which its scale runs, in the scale's order.

    Args:
        kind: The class of the layer.
        equation: That of an EinsumDense; its scale has the order of the output.
        rank: How many axes the weight has.

    Returns:
        The axes, or `None` where only the shapes can say it.
    """
    if kind in {"Embedding", "ReversibleEmbedding"}:
        return (0,)
    match = re.fullmatch(r"[^,]*,\s*(\w+)\s*->\s*([\w.]*)\s*", str(equation or ""))
    if match and len(match[1]) == rank:
        return tuple(match[1].index(letter) for letter in match[2] if letter in match[1])
    return (1,) if kind == "Dense" and rank == 2 else None


def mode_of(config: Mapping[str, Any]) -> str | None:
    """Return a layer's quantization from its configuration: `int8`, `int4/128`, `gptq/4/128`, ...

    Args:
        config: The layer's own configuration.
    """
    policy = config.get("dtype")
    if isinstance(policy, Mapping):
        policy = policy.get("config")
        mode = policy.get("mode") if isinstance(policy, Mapping) else None
        return mode if isinstance(mode, str) else None
    # Older files name the policy only: `int8_from_float32`.
    return policy.partition("_from_")[0] if isinstance(policy, str) and "_from_" in policy else None


def join_scale(
    variables: Sequence[Named],
    kind: str,
    facts: Mapping[str, Any],
    skipped: list[Skipped],
) -> list[Named]:
    """The variables of one layer, an int8 weight joined with its scale, which Keras divides by.

    Args:
        variables: In the order in which Keras stores them: the weight, the bias, the scale.
        kind: The class of the layer.
        facts: Facts of the layer: `equation`, `quantization`.
        skipped: Receives the tensors that are left out.
    """
    weight, *others = variables
    mode = facts.get("quantization")
    packed = [item for item in variables if item.values.dtype in {"int8", "uint8"}]
    if not packed or not others:
        return list(variables)
    floats = [item for item in others if item.values.dtype.startswith(("float", "bfloat"))]
    # Beside packed weights lie whole numbers: zero points, indices of groups.
    if not str(mode or "int8").startswith("int8") or len(floats) < len(others):
        for item in variables:
            what = "weights are not unpacked" if item in packed else "weights stand beside it"
            skip(item, f"packed {mode or '4-bit'} {what}", skipped)
        return []
    scale = floats[-1]
    axes = scale_axes(kind, facts.get("equation"), len(weight.values.shape))
    skip(scale, f"the scale of {weight.path}", skipped)
    rest = [item for item in others if item is not scale]
    try:
        joined = _joined(weight.values, scale.values, axes)
        if mode is None and not _is_int8(joined):
            raise ValueError("packed 4-bit weights, as it seems; only a .keras file says it")
    # A file that says nothing is read to see what it holds, and may be damaged.
    except (ValueError, OSError) as error:
        skip(weight, f"quantized: {error}", skipped)
        return rest
    return [weight._replace(values=joined), *rest]


def _joined(weight: Values, scale: Values, axes: tuple[int, ...] | None) -> Scaled:
    """The weight with its scale; of a class that is not known, along the axis that fits."""
    rank = len(weight.shape)
    if axes is not None or len(scale.shape) != 1 or rank < 2:
        return Scaled(weight, scale, divide=True, axes=axes)
    sizes = weight.shape[-1], weight.shape[0]
    fitting = [a for a, n in zip((rank - 1, 0), sizes, strict=True) if scale.shape == (n,)]
    tried = [Scaled(weight, scale, divide=True, axes=(axis,)) for axis in fitting]
    if not tried:
        return Scaled(weight, scale, divide=True)
    return next((t for t in tried if len(tried) == 1 or _is_int8(t)), tried[0])


def _is_int8(joined: Scaled) -> bool:
    """Return whether the numbers are Keras's int8: each channel reaches -127 or 127.

    Two numbers of four bits in each byte may have the same shape, and a scale of the same shape.
    """
    numbers = joined.values.read()
    alone = tuple(axis for axis, n in enumerate(joined.scale_layout) if n == 1)
    peaks = np.abs(numbers.astype(np.int16)).max(axis=alone)
    return bool(((peaks == _INT8_PEAK) | (peaks == 0)).all())


def skip(item: Named, reason: str, skipped: list[Skipped]) -> None:
    """Account for a variable that is left out.

    Args:
        item: The variable.
        reason: Why.
        skipped: Where to.
    """
    skipped.append(Skipped(item.path, item.values.shape, item.values.dtype, reason))
