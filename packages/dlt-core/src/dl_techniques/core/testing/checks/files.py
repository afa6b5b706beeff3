"""Model files: loaded in this process, and in one that has imported nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

from dl_techniques.core.errors import DLTechniquesError
from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.composed import (
    FunctionalStyle,
    change_some_parts,
    compile_model,
    make_up_training,
    quick_collection,
)
from dl_techniques.core.testing.continuation import difference_between, go_on
from dl_techniques.core.testing.fresh_process import fresh_continuation
from dl_techniques.core.testing.subject import Subject, difference


def _model(subject: Subject) -> keras.Model:
    subject.require_batched()
    if isinstance(subject.built, keras.Model) and set(subject.specs) == {0}:
        return subject.built
    return subject.symbolic(subject.make_like_built())


@check()
def file_round_trip(subject: Subject) -> None:
    """A `.keras` file brings back every weight exactly, and the outputs."""
    model = _model(subject)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        again = keras.models.load_model(path)
    ours, theirs = again.get_weights(), model.get_weights()
    require(len(ours) == len(theirs), f"{len(theirs)} weights are saved, {len(ours)} loaded")
    for a, b in zip(ours, theirs, strict=True):
        require(np.array_equal(a, b), "a weight changes by saving and loading")
    arrays = subject.arrays()
    gap = difference(subject.run(again, arrays), subject.run(model, arrays))
    require(gap <= 1e-6, f"outputs differ by {gap:.1e} after loading")


@check()
def fresh_process(subject: Subject) -> None:
    """A process that imports nothing but the core loads the file and goes on alike.

    The state of weights, optimizer and random numbers is compared, and what further training
    gives; on TensorFlow, inference. The model is a functional-style subclass, its parts
    quantized, adapted with LoRA and frozen. The first example stands for all: what another
    process lacks are classes, whatever their settings.
    """
    from dl_techniques.core.registry.registry import registry

    if subject.declaration is None:
        raise NotApplicable("it is not declared with @component")
    try:
        registry.find(subject.id)
    except DLTechniquesError as error:
        raise NotApplicable("no installed distribution declares it") from error
    subject.require_batched()
    subject.require_first()
    model = FunctionalStyle(subject.symbolic(subject.make_like_built()))
    with quick_collection():
        change_some_parts(model)
    compile_model(model)
    make_up_training(model)
    arrays = list(subject.arrays().values())
    gap = difference_between(fresh_continuation(model, arrays), go_on(model, arrays, across=True))
    require(not gap, f"in a fresh process, {gap}")


@check(
    kinds=("loss", "metric", "initializer", "regularizer", "constraint", "schedule", "optimizer")
)
def part_in_a_file(subject: Subject) -> None:
    """A model that uses it is saved and loaded again with it."""
    part = subject.create()
    model = keras.Sequential([keras.Input((3,)), _dense(subject, part)])
    if subject.kind == "loss":
        model.compile("sgd", part)
    elif subject.kind == "metric":
        model.compile("sgd", "mse", metrics=[part])
    elif subject.kind == "schedule":
        model.compile(keras.optimizers.SGD(part), "mse")
    elif subject.kind == "optimizer":
        model.compile(part, "mse")
    if model.compiled:
        # Keras builds the optimizer when it loads, and warns if it was not built when saving.
        model.optimizer.build(model.trainable_variables)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        again = keras.models.load_model(path)
    x = np.ones((2, 3), "float32")
    same = np.array_equal(ops.convert_to_numpy(again(x)), ops.convert_to_numpy(model(x)))
    require(same, "the loaded model gives other outputs")


def _dense(subject: Subject, part: object) -> keras.layers.Layer:
    names = {"initializer", "regularizer", "constraint"}
    slots = {f"kernel_{subject.kind}": part} if subject.kind in names else {}
    try:
        layer = keras.layers.Dense(3, **slots)
        layer.build((None, 3))
    except ValueError as error:
        raise NotApplicable(f"it does not fit a dense kernel: {error}") from error
    return keras.layers.Dense(3, **slots)
