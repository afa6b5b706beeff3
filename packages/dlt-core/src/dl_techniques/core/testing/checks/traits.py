"""The symmetries that an example claims."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from keras import ops

from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, difference

_SCALE = 2.5
_TOLERANCE = 1e-4


def _claimed(subject: Subject, trait: str) -> tuple[Any, Any]:
    """The one input and the one output, or the check does not apply."""
    if not subject.has(trait):
        raise NotApplicable(f"it does not claim to be {trait}")
    if set(subject.specs) != {0} or len(subject.expected) != 1:
        raise AssertionError(f"{trait} is claimed, but there is more than one input or output")
    return subject.arrays()[0], subject.expected[0]


def _apply(subject: Subject, array: Any) -> Any:
    return subject.outputs(subject.built, {0: array})[0]


def _require_close(ours: Any, theirs: Any, what: str) -> None:
    gap = difference([ours], [theirs])
    require(gap <= _TOLERANCE, f"{what} is off by {gap:.1e}")


@check()
def permutation_equivariance(subject: Subject) -> None:
    """If claimed: reordering the tokens reorders the outputs."""
    x, y = _claimed(subject, "permutation_equivariant")
    order = np.random.default_rng(0).permutation(x.shape[1])
    _require_close(_apply(subject, x[:, order]), y[:, order], "permutation equivariance")


@check()
def permutation_invariance(subject: Subject) -> None:
    """If claimed: reordering the tokens changes nothing."""
    x, y = _claimed(subject, "permutation_invariant")
    order = np.random.default_rng(0).permutation(x.shape[1])
    _require_close(_apply(subject, x[:, order]), y, "permutation invariance")


@check()
def scale_invariance(subject: Subject) -> None:
    """If claimed: scaling the input changes nothing."""
    x, y = _claimed(subject, "scale_invariant")
    _require_close(_apply(subject, x * np.float32(_SCALE)), y, "scale invariance")


@check()
def scale_equivariance(subject: Subject) -> None:
    """If claimed: scaling the input scales the output."""
    x, y = _claimed(subject, "scale_equivariant")
    _require_close(_apply(subject, x * np.float32(_SCALE)), y * _SCALE, "scale equivariance")


@check()
def norm_preservation(subject: Subject) -> None:
    """If claimed: each vector on the last axis keeps its length."""
    x, y = _claimed(subject, "norm_preserving")
    norm = np.linalg.norm
    _require_close(norm(y, axis=-1), norm(x, axis=-1), "the length of a vector")


@check()
def monotonicity(subject: Subject) -> None:
    """If claimed: a larger input gives no smaller output."""
    x, y = _claimed(subject, "monotone")
    step = np.abs(np.random.default_rng(0).normal(size=x.shape)).astype(x.dtype)
    fall = float((y - _apply(subject, x + step)).max())
    require(fall <= _TOLERANCE, f"a larger input gives an output smaller by {fall:.1e}")


@check()
def idempotence(subject: Subject) -> None:
    """If claimed: applying it again changes nothing."""
    _, y = _claimed(subject, "idempotent")
    _require_close(_apply(subject, y), y, "idempotence")


@check()
def elementwise(subject: Subject) -> None:
    """If claimed: an element of the output depends on the same element of the input only."""
    x, y = _claimed(subject, "elementwise")
    require(x.shape == y.shape, f"an input of shape {x.shape} gives an output of {y.shape}")
    changed = x.copy()
    changed.flat[0] += 1.0
    others = np.ones(x.shape, bool)
    others.flat[0] = False
    _require_close(_apply(subject, changed)[others], y[others], "an element that was not changed")


@check()
def exemptions_are_needed(subject: Subject) -> None:
    """A trait that excuses from checks is true: samples are coupled, training does change."""
    claimed = {"couples_batch", "changes_in_training", "not_differentiable"}
    claimed &= subject.example.traits
    if not claimed:
        raise NotApplicable("it claims no trait that excuses it")
    arrays = subject.arrays()
    if "not_differentiable" in claimed:
        _require_no_gradient(subject)
    if "changes_in_training" in claimed:
        instance = subject.make_like_built()
        trained = subject.outputs(instance, arrays, training=True)
        gap = max(difference(trained, subject.expected), _moved(subject, instance))
        require(gap > 0, "training changes neither outputs nor state: it is no changes_in_training")
    if "couples_batch" in claimed:
        _require_coupling(subject)


def _moved(subject: Subject, instance: Any) -> float:
    before = [ops.convert_to_numpy(v) for v in subject.built.non_trainable_variables]
    after = [ops.convert_to_numpy(v) for v in instance.non_trainable_variables]
    return difference(after, before)


def _require_coupling(subject: Subject) -> None:
    subject.require_batched()
    arrays = subject.arrays()
    changed = {
        key: np.concatenate([value[:1] * 0 + value[-1:], value[1:]])
        for key, value in arrays.items()
    }
    for training in (False, True):
        ours, theirs = (
            subject.outputs(
                subject.make_like_built(seed=1) if _seeded(subject) else subject.make_like_built(),
                batch,
                training,
            )
            for batch in (arrays, changed)
        )
        rest = [array[1:] if array.ndim else array for array in ours]
        others = [array[1:] if array.ndim else array for array in theirs]
        if difference(rest, others) > 0:
            return
    raise AssertionError("no sample changes the output of another: it is no couples_batch")


def _seeded(subject: Subject) -> bool:
    return "seed" in inspect.signature(subject.cls.__init__).parameters


def _require_no_gradient(subject: Subject) -> None:
    if not subject.floating or any(a.dtype.kind != "f" for a in subject.expected):
        return  # integers have no gradient, whatever the layer does
    try:
        result = subject.differentiate(subject.built, subject.arrays())
    except (RuntimeError, ValueError, TypeError, NotImplementedError, LookupError):
        return  # the backend itself says that there is none
    gradients = [g for g in (*result.variables, *result.inputs) if g is not None]
    sound = bool(gradients) and all(np.isfinite(g).all() and np.any(g) for g in gradients)
    require(not sound, "it has sound gradients: it is not not_differentiable")
