"""Weights: when they are made, how they are named, how they are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject


def _described(instance: Any) -> list[tuple[str, tuple[int, ...], str]]:
    return [(v.name, tuple(v.shape), str(v.dtype)) for v in instance.weights]


@check()
def build_equals_call(subject: Subject) -> None:
    """Rebuilding from the build configuration makes the weights that the first call makes."""
    built = subject.built
    config = built.get_build_config()
    if not config:
        require(not built.weights, "it has weights but no build configuration to make them from")
        raise NotApplicable("it has no build configuration")
    again = subject.create()
    again.build_from_config(config)
    ours, theirs = _described(again), _described(built)
    require(ours == theirs, f"build makes {ours}, the first call {theirs}")


@check()
def no_late_weights(subject: Subject) -> None:
    """A second call, also in training, adds no weight."""
    instance = subject.make()
    before = len(instance.weights)
    subject.call(instance, subject.arrays(), training=True)
    after = len(instance.weights)
    require(before == after, f"{after - before} weights appear at the second call")


@check()
def own_variables(subject: Subject) -> None:
    """`save_own_variables` and `load_own_variables` restore every own variable exactly."""
    source, target = subject.make(), subject.make()
    store: dict[str, Any] = {}
    source.save_own_variables(store)
    kept = {key: np.array(ops.convert_to_numpy(value)) for key, value in store.items()}
    target.load_own_variables(kept)
    again: dict[str, Any] = {}
    target.save_own_variables(again)
    require(kept.keys() == again.keys(), f"stored {sorted(kept)}, loaded {sorted(again)}")
    for key, value in kept.items():
        same = np.array_equal(value, ops.convert_to_numpy(again[key]))
        require(same, f"the variable {key!r} changes by saving and loading")


@check()
def weight_names(subject: Subject) -> None:
    """Paths of weights are unique, and two instances have the same names in the same order."""
    paths = [weight.path for weight in subject.built.weights]
    repeated = sorted({path for path in paths if paths.count(path) > 1})
    require(not repeated, f"two weights are named {', '.join(repeated)}")
    ours, theirs = _described(subject.make()), _described(subject.built)
    require(ours == theirs, f"a second instance has {ours}, the first {theirs}")


@check()
def sublayers_are_tracked(subject: Subject) -> None:
    """Every layer in an attribute contributes its weights to the whole."""
    import keras

    known = {id(weight) for weight in subject.built.weights}
    for name, value in vars(subject.built).items():
        for item in (
            keras.tree.flatten(value) if isinstance(value, list | tuple | dict) else [value]
        ):
            if isinstance(item, keras.layers.Layer):
                lost = [weight.path for weight in item.weights if id(weight) not in known]
                require(not lost, f"weights of `{name}` are not tracked: {', '.join(lost)}")
