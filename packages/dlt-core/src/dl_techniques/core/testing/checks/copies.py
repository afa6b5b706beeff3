"""Clones, deep copies and pickles."""

from __future__ import annotations

import copy
import pickle

import keras
import numpy as np

from dl_techniques.core.testing.check import ANY, LAYERS, NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, difference


@check()
def deep_copy(subject: Subject) -> None:
    """A deep copy gives the same outputs and shares no weight."""
    source = subject.make_like_built()
    again = copy.deepcopy(source)
    gap = difference(subject.outputs(again, subject.arrays()), subject.expected)
    require(gap <= 1e-6, f"a deep copy differs by {gap:.1e}")
    shared = {id(w) for w in source.weights} & {id(w) for w in again.weights}
    require(not shared, "a deep copy shares weights")
    for weight in again.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    gap = difference(subject.outputs(source, subject.arrays()), subject.expected)
    require(gap <= 1e-6, "changing a deep copy changes the original")


@check()
def clone_model(subject: Subject) -> None:
    """`keras.models.clone_model` makes a model of independent weights and equal structure."""
    subject.require_batched()
    model = subject.symbolic(subject.create())
    again = keras.models.clone_model(model)
    again.set_weights(model.get_weights())
    arrays = subject.arrays()
    gap = difference(subject.run(again, arrays), subject.run(model, arrays))
    require(gap <= 1e-6, f"a clone differs by {gap:.1e}")
    shared = {id(w) for w in model.weights} & {id(w) for w in again.weights}
    require(not shared, "a clone shares weights")


@check(kinds=ANY)
def pickling(subject: Subject) -> None:
    """A pickle brings back an equal instance: its weights and outputs, or its configuration."""
    if not subject.is_class:
        raise NotApplicable("a function is pickled by its name")
    if subject.kind in {"metric", "optimizer"}:
        raise NotApplicable("Keras pickles these with the model that they are compiled into")
    if subject.kind in LAYERS:
        again = pickle.loads(pickle.dumps(subject.built))  # noqa: S301  # our own, just made
        gap = difference(subject.outputs(again, subject.arrays()), subject.expected)
        require(gap <= 1e-6, f"a layer from a pickle differs by {gap:.1e}")
        return
    instance = subject.create()
    again = pickle.loads(pickle.dumps(instance))  # noqa: S301  # our own pickle of a moment ago
    require(again.get_config() == instance.get_config(), "a pickle has another configuration")
