"""Keras's implicit masks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, to_arrays


@check()
def masks(subject: Subject) -> None:
    """A mask is passed on, and what it hides does not change what it shows."""
    if not subject.built.supports_masking:
        raise NotApplicable("it does not support masks")
    specs = list(subject.specs.values())
    if len(specs) != 1 or len(specs[0].shape) != 3 or subject.free != [0]:
        raise NotApplicable("its input is no sequence of vectors")
    (batch, length, _), array = specs[0].shape, subject.arrays()[0]
    if length < 3:
        raise NotApplicable("its sequence is too short to hide a part of it")
    mask = np.ones((batch, length), bool)
    mask[:, -1] = False
    shown, mask_out = _call_masked(subject, array, mask)
    hidden = array.copy()
    hidden[:, -1] += 10.0
    changed, _ = _call_masked(subject, hidden, mask)
    require(mask_out is not None, "the output carries no mask")
    kept = ops.convert_to_numpy(mask_out)
    for ours, theirs in zip(changed, shown, strict=True):
        require(
            kept.shape == ours.shape[: kept.ndim],
            f"the mask has the shape {kept.shape}, the output {ours.shape}",
        )
        gap = np.abs(ours - theirs)[kept]
        largest = float(gap.max(initial=0.0))
        require(largest <= 1e-5, f"what the mask hides changes what it shows by {largest:.1e}")


def _call_masked(subject: Subject, array: Any, mask: Any) -> tuple[list[Any], Any]:
    tensor = ops.convert_to_tensor(array)
    # The public way for a mask to arrive is from the layer before: this one only brings it.
    masked = _Bring()((tensor, ops.convert_to_tensor(mask)))
    output = subject.call(subject.built, {0: masked})
    first = keras.tree.flatten(output)[0]
    return to_arrays(output), getattr(first, "_keras_mask", None)


class _Bring(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Gives a tensor the mask that comes with it."""

    def call(self, inputs: Any) -> Any:
        return ops.copy(inputs[0]) if hasattr(ops, "copy") else inputs[0] + 0

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:  # noqa: ARG002  # Keras's
        return inputs[1]
