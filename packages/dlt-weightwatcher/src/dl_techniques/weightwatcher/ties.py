"""Weights that are one and the same, under several names."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from dl_techniques.weightwatcher.readers.values import Held, Mapped, Stored, Values
from dl_techniques.weightwatcher.readers.weight import Skipped, Weight

_SAMPLE = 64


class Ties:
    """The first of each set of equal weights, with the names of the others.

    Args:
        weights: All weights, in order.
    """

    def __init__(self, weights: Sequence[Weight]) -> None:
        self.kept: list[Weight] = []
        self.aliases: dict[str, list[str]] = {}
        self.skipped: list[Skipped] = []
        by_identity: dict[Hashable, Weight] = {}
        by_sample: dict[Hashable, list[Weight]] = {}
        for weight in weights:
            if len(weight.values.shape) < 2 or 0 in weight.values.shape:
                self.kept.append(weight)
                continue
            first = by_identity.setdefault(weight.values.identity(), weight)
            if first is weight and isinstance(weight.values, Held | Mapped | Stored):
                alike = by_sample.setdefault(_sample(weight.values), [])
                first = next((w for w in alike if _equal(w.values, weight.values)), weight)
                alike.append(weight)
            if first is weight:
                self.kept.append(weight)
                continue
            self.aliases.setdefault(first.path, []).append(weight.path)
            values = weight.values
            reason = f"tied to {first.path}"
            self.skipped.append(Skipped(weight.path, values.shape, values.dtype, reason))


def _sample(values: Values) -> Hashable:
    """A few numbers of each end: copies agree in them, other weights hardly ever do."""
    try:
        array = values.read()
    # Its row reports the fault: here it is equal to nothing.
    except Exception:
        return object()
    ends = [array[(0,) * (array.ndim - 1)], array[(-1,) * (array.ndim - 1)]]
    return (values.shape, values.dtype, *(end[:_SAMPLE].tobytes() for end in ends))


def _equal(first: Values, second: Values) -> bool:
    a, b = first.read(), second.read()
    if not (np.asarray(a[:1]) != 0).any() and not np.any(np.asarray(a)):
        return False  # weights that are still zero are equal without being tied
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
