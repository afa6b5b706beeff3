"""Growth of strong pixels along weak ones."""

from __future__ import annotations

from typing import Any

from keras import ops

from dl_techniques.core import Tensor

# Rounds of growth between two checks that anything still grows.
_ROUNDS = 8


def hysteresis(weak: Tensor, strong: Tensor) -> Tensor:
    """Keep the 8-connected components of weak pixels that hold a strong one.

    Each round grows the kept pixels by one step; the number of rounds is the longest way along a
    component, which a spiral makes many times as long as the image is wide.

    Args:
        weak: Boolean, `(batch, height, width, channels)`.
        strong: Boolean of the same shape, a part of `weak`.

    Returns:
        A boolean tensor of the same shape.
    """
    ring = ((0, 0), (1, 1), (1, 1), (0, 0))
    kept = ops.pad(ops.cast(strong, "int8"), ring)
    allowed = ops.cast(weak, "int8")

    def grow(kept: Tensor, _: Any) -> tuple[Tensor, Tensor]:
        before = kept
        for _ in range(_ROUNDS):
            rows = ops.maximum(ops.maximum(kept[:, :-2], kept[:, 2:]), kept[:, 1:-1])
            grown = ops.maximum(ops.maximum(rows[:, :, :-2], rows[:, :, 2:]), rows[:, :, 1:-1])
            kept = ops.pad(ops.minimum(grown, allowed), ring)
        return kept, ops.any(kept != before)

    def grows(_: Tensor, changed: Any) -> Any:
        return changed

    start = (kept, ops.convert_to_tensor(True))
    kept, _ = ops.while_loop(grows, grow, start)
    return kept[:, 1:-1, 1:-1] > 0
