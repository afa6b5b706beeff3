"""A component as users compose it: in a nested model, shared, masked, changed in part, trained."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core.contract.bases import Model
from dl_techniques.core.contract.component import component
from dl_techniques.core.contract.sublayers import seed_generators, walk
from dl_techniques.core.testing.subject import Subject


@component("dl_techniques_testing>FunctionalStyle", kind="model")
class FunctionalStyle(Model):
    """A functional-style subclass that calls another model.

    Args:
        inner: The functional model.
    """

    def __init__(self, inner: keras.Model, **kwargs: Any) -> None:
        inputs = _inputs_like(inner)
        super().__init__(_single(inputs), inner(_single(inputs)), **kwargs)
        self.inner = inner


def compose(subject: Subject) -> tuple[keras.Model, list[Any]]:
    """Return a model of a model that is called twice, and arrays to train it with.

    Args:
        subject: The example.
    """
    subject.require_batched()
    arrays = list(subject.arrays().values())
    inner = subject.symbolic(subject.create())
    masked = [i for i, key in enumerate(subject.specs) if key in subject.maskable]
    if any(len(output.shape) < 3 for output in inner.outputs):
        masked = []  # Keras's losses take the last axis for channels, also if it has the mask
    for index in masked:
        arrays[index][:, -1] = 0
    inputs = _inputs_like(inner)
    given = [keras.layers.Masking()(t) if i in masked else t for i, t in enumerate(inputs)]
    calls = [inner(_single(given)) for _ in range(2)]
    model = keras.Model(_single(inputs), keras.tree.flatten(calls))
    change_some_parts(model)
    compile_model(model)
    return model, arrays


def _inputs_like(model: keras.Model) -> list[Any]:
    return [keras.Input(t.shape[1:], dtype=t.dtype, batch_size=t.shape[0]) for t in model.inputs]


def _single(tensors: list[Any]) -> Any:
    return tensors if len(tensors) > 1 else tensors[0]


def compile_model(model: keras.Model) -> None:
    """Make a model ready for a few steps of training that shall not be compiled.

    Args:
        model: The model.
    """
    eager = keras.backend.backend() == "tensorflow"
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", run_eagerly=eager)
    model.optimizer.build(model.trainable_variables)


def change_some_parts(model: keras.Model) -> None:
    """Quantize the first part that can be, adapt the last such part, freeze the last of all.

    Args:
        model: The built model.
    """
    leaves = [v.layer for v in walk(model) if not v.again and _is_leaf(v.layer) and v.layer.weights]
    matrices = [layer for layer in leaves if hasattr(layer, "enable_lora")]
    if matrices:
        with contextlib.suppress(NotImplementedError):  # a convolution has LoRA alone
            matrices[0].quantize("int8")
        if getattr(matrices[-1], "kernel_constraint", None) is None:
            matrices[-1].enable_lora(1)
    if len(leaves) > 2:
        leaves[-1].trainable = False


def _is_leaf(layer: Any) -> bool:
    return sum(1 for _ in walk(layer)) == 1


@contextlib.contextmanager
def quick_collection() -> Iterator[None]:
    """Spare the garbage collector all objects that there are.

    Keras collects for each layer that it quantizes, which would take most of the time.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def make_up_training(model: keras.Model) -> None:
    """Change what two steps of training change beside weights, without computing them.

    Args:
        model: The compiled model, its optimizer built.
    """
    for variable in model.optimizer.variables:
        if len(variable.shape):
            variable.assign(np.full(variable.shape, 0.5, "float32"))
    model.optimizer.iterations.assign(2)
    for _, layer, again in walk(model):
        for _, generator in () if again else seed_generators(layer):
            state = ops.convert_to_numpy(generator.state).copy()
            state[1] += 2
            generator.state.assign(state)
