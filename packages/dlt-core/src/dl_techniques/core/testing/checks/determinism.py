"""Seeds, randomness and the `training` argument."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, difference


def _equal(ours: list[Any], theirs: list[Any]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(ours, theirs, strict=True))


@check()
def inference_is_pure(subject: Subject) -> None:
    """Two calls at inference give the same bits and change no variable."""
    instance = subject.make()
    before = [np.array(ops.convert_to_numpy(v)) for v in instance.variables]
    first = subject.outputs(instance, subject.arrays())
    second = subject.outputs(instance, subject.arrays())
    require(_equal(first, second), "two calls at inference differ")
    for variable, value in zip(instance.variables, before, strict=True):
        same = np.array_equal(value, ops.convert_to_numpy(variable))
        require(same, f"a call at inference changes the variable {variable.path}")


@check()
def global_seed(subject: Subject) -> None:
    """The same global seed gives the same weights and the same outputs in training."""
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        instance = subject.make()
        weights = [ops.convert_to_numpy(w) for w in instance.weights]
        results.append((weights, subject.outputs(instance, subject.arrays(), training=True)))
    require(_equal(results[0][0], results[1][0]), "the same global seed gives other weights")
    require(_equal(results[0][1], results[1][1]), "the same global seed gives other outputs")


@check()
def stochastic_contract(subject: Subject) -> None:
    """A stochastic layer has a seed, varies in training, and repeats its sequence with the seed."""
    if not subject.has("stochastic"):
        raise NotApplicable("it claims no randomness")
    require("seed" in subject.create().get_config(), "it has no `seed` in its configuration")
    first, second = subject.make(seed=3), subject.make(seed=3)
    second.set_weights(first.get_weights())
    arrays = subject.arrays()
    ours = [subject.outputs(first, arrays, training=True) for _ in range(8)]
    theirs = [subject.outputs(second, arrays, training=True) for _ in range(8)]
    require(not all(_equal(ours[0], other) for other in ours[1:]), "training never varies")
    same = all(_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    require(same, "the same `seed` gives another sequence")


@check()
def training_flag(subject: Subject) -> None:
    """Inference is the default, and training changes only what the traits allow."""
    if not subject.takes_training:
        raise NotApplicable("it has no `training` argument")
    default = subject.outputs(subject.built, subject.arrays(), training=None)
    require(_equal(default, subject.expected), "without `training` it does not behave as inference")
    allowed = {"stochastic", "changes_in_training", "couples_batch"} & subject.example.traits
    if allowed:
        return
    trained = subject.outputs(subject.make_like_built(), subject.arrays(), training=True)
    gap = difference(trained, subject.expected)
    require(gap <= 1e-5, f"training changes the outputs by {gap:.1e}, and no trait says so")
