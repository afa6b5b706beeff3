"""Keras's implicit masks."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, to_arrays


@check()
def masks(subject: Subject) -> None:
    """A mask is passed on, and what it hides does not change what it shows."""
    carries = subject.built.supports_masking
    if not carries and "mask" not in inspect.signature(subject.cls.call).parameters:
        raise NotApplicable("it does not support masks")
    sequences = subject.maskable
    if not sequences:
        raise NotApplicable("its inputs are no sequences of vectors")
    if min(subject.specs[key].shape[1] for key in sequences) < 3:
        raise NotApplicable("its sequence is too short to hide a part of it")
    arrays = subject.arrays()
    hiding = {key: _mask(array) for key, array in arrays.items()}
    shown, kept = _call_masked(subject, arrays, hiding)
    hidden = {k: np.where(hiding[k][..., None], a, a + 10) for k, a in arrays.items()}
    changed, _ = _call_masked(subject, hidden, hiding)
    for index, (ours, theirs) in enumerate(zip(changed, shown, strict=True)):
        gap = np.abs(ours - theirs)
        mask = kept[index]
        if mask is not None:
            leads = mask.shape == ours.shape[: mask.ndim]
            require(leads, f"the mask has the shape {mask.shape}, the output {ours.shape}")
            gap = gap[mask]
        elif index == 0:
            # An output without the sequence's axis has nothing to pass a mask on for.
            tokens = {subject.specs[key].shape[:2] for key in sequences}
            own = ours.shape[:2] in tokens
            require(not (own and carries), "the output carries no mask")
            gap = gap[hiding[sequences[0]]] if own else gap
        largest = float(gap.max(initial=0.0))
        require(largest <= 1e-5, f"what the mask hides changes what it shows by {largest:.1e}")


def _mask(array: Any) -> Any:
    """Hides the last token of every sequence, and two of the first one."""
    mask = np.ones(array.shape[:2], bool)
    mask[:, -1] = False
    mask[0, -2] = False
    return mask


def _call_masked(subject: Subject, arrays: Any, masks: Any) -> tuple[list[Any], list[Any]]:
    # The public way for a mask to arrive is from the layer before: this one only brings it.
    bring = _Bring()
    inputs = {
        key: bring((ops.convert_to_tensor(array), ops.convert_to_tensor(masks[key])))
        for key, array in arrays.items()
    }
    output = subject.call(subject.built, inputs)
    masks_out = [getattr(tensor, "_keras_mask", None) for tensor in keras.tree.flatten(output)]
    kept = [None if m is None else ops.convert_to_numpy(m).astype(bool) for m in masks_out]
    return to_arrays(output), kept


class _Bring(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Gives a tensor the mask that comes with it."""

    def call(self, inputs: Any) -> Any:
        return inputs[0] + 0

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:  # noqa: ARG002  # Keras's
        return inputs[1]
