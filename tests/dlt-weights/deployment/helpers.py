"""Models with statistics that are no identity, and comparisons."""

from __future__ import annotations

import keras
import numpy as np


def randomize(model, seed=0):
    """Fill all weights; gains and variances are positive."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" in variable.path or variable.dtype.startswith(("int", "uint")):
            continue
        values = random.normal(size=variable.shape, scale=0.3)
        if any(word in variable.path for word in ("gamma", "variance")):
            values = np.abs(values) + 0.2
        variable.assign(values.astype("float32"))
    return model


def numbers(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def draw(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def require_close(ours, theirs, tolerance=1e-5):
    ours, theirs = numbers(ours), numbers(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(theirs).max() > 1e-3, "the outputs say nothing"
    assert np.abs(ours - theirs).max() <= tolerance * max(1.0, np.abs(theirs).max())


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]
