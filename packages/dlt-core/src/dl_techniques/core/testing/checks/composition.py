"""Components as users compose them: nested, shared, changed in part, saved between two steps."""

from __future__ import annotations

import contextlib
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from dl_techniques.core.contract.sublayers import seed_generators, walk
from dl_techniques.core.files import model_state, stored_state
from dl_techniques.core.files.rebuilt import differences
from dl_techniques.core.testing.check import check, require
from dl_techniques.core.testing.subject import Subject

_WEIGHTS: Final = "model.weights.h5"


@check()
def composition(subject: Subject) -> None:
    """In a nested model, called twice, frozen, quantized and with LoRA in part, all comes back.

    All means: layers, variables and what is trained, the state of the optimizer and of all random
    numbers. A training that goes on from equal states goes on equally.
    """
    subject.require_batched()
    model = _composed(subject)
    _change_parts(model)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    for variable in model.optimizer.variables:
        if len(variable.shape):
            variable.assign(np.full(variable.shape, 0.5, "float32"))
    model.optimizer.iterations.assign(3)
    for _, layer, again in walk(model):
        if not again:
            _advance(layer)
    again = _reloaded(model)
    found = differences(model, again)
    require(not found, " ".join(found[:2]))
    _require_equal(model.weights, again.weights)
    _require_equal(model.optimizer.variables, again.optimizer.variables)
    seeds = model_state.capture(again) == model_state.capture(model)
    require(seeds, "a seed generator or `autocast` comes back in another state")


def _composed(subject: Subject) -> keras.Model:
    """A model of a model that holds the component, and calls it twice."""
    inner = subject.symbolic(subject.create())
    inputs = [keras.Input(t.shape[1:], dtype=t.dtype, batch_size=t.shape[0]) for t in inner.inputs]
    given = inputs if len(inputs) > 1 else inputs[0]
    outputs = [*keras.tree.flatten(inner(given)), *keras.tree.flatten(inner(given))]
    return keras.Model(given, outputs)


def _change_parts(model: keras.Model) -> None:
    """Quantize the first part that can be, adapt the second one, freeze the last one."""
    leaves = [v.layer for v in walk(model) if not v.again and _is_leaf(v.layer) and v.layer.weights]
    matrices = [layer for layer in leaves if hasattr(layer, "enable_lora")]
    if matrices:
        with contextlib.suppress(NotImplementedError):  # a convolution has LoRA alone
            matrices[0].quantize("int8")
    if len(matrices) > 1 and getattr(matrices[1], "kernel_constraint", None) is None:
        matrices[1].enable_lora(1)
    if len(leaves) > 2:
        leaves[-1].trainable = False


def _is_leaf(layer: Any) -> bool:
    return sum(1 for _ in walk(layer)) == 1


def _advance(layer: Any) -> None:
    """Let random numbers be drawn, as two steps of training would."""
    for _, generator in seed_generators(layer):
        state = ops.convert_to_numpy(generator.state).copy()
        state[1] += 2
        generator.state.assign(state)


def _reloaded(model: keras.Model) -> keras.Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        with model_state.exact_adapters(model):
            model.save(path)
        document = json.loads(json.dumps(model_state.capture(model)))
        again = keras.models.load_model(path)
        with zipfile.ZipFile(path) as file:
            weights = Path(file.extract(_WEIGHTS, folder))
        model_state.restore(again, stored_state.parse(document, "the file"), weights)
    return again


def _require_equal(ours: list[Any], theirs: list[Any]) -> None:
    require(len(ours) == len(theirs), f"{len(ours)} variables become {len(theirs)}")
    for a, b in zip(ours, theirs, strict=True):
        same = np.array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
        require(same, f"the variable {a.path} comes back with other values")
