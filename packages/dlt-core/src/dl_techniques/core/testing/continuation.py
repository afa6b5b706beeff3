"""Compare the further training of two models, in one process or in two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import keras
import numpy as np
from keras import ops

_STEPS: Final = {"torch": 2, "tensorflow": 1}  # on JAX a program stands for all steps


class Continuation(NamedTuple):
    """The results of further training, from a model's present state."""

    state: list[Any]
    """Its variables and those of its optimizer before the steps."""
    arrays: list[Any]
    """The variables after the steps, or the outputs at inference; none on JAX."""
    program: str
    """The program of a step, as JAX would compile it; empty elsewhere."""

    def save(self, folder: Path) -> None:
        """Write it into files that another process can read.

        Args:
            folder: Where to.
        """
        np.savez(folder / "state.npz", *self.state)
        np.savez(folder / "arrays.npz", *self.arrays)
        (folder / "program.txt").write_text(self.program, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Continuation:
        """Read what `save` wrote.

        Args:
            folder: Where from.
        """
        with np.load(folder / "state.npz") as state, np.load(folder / "arrays.npz") as arrays:
            program = (folder / "program.txt").read_text(encoding="utf-8")
            return cls([*state.values()], [*arrays.values()], program)


def go_on(model: keras.Model, inputs: Sequence[Any], *, across: bool = False) -> Continuation:
    """Train a compiled model further, towards zero.

    On PyTorch it takes two steps. Compiling a step takes JAX much longer than tracing it: there
    nothing is computed, as equal programs give equal numbers from equal states. TensorFlow takes
    one eager step, which is slow; across processes it computes the outputs at inference instead.
    So does a model without trainable weights, or whose output is a scalar, for which Keras's
    losses cannot train.

    Args:
        model: The model.
        inputs: Its inputs as arrays.
        across: Whether the other model goes on in another process.
    """
    # Dropout on PyTorch draws from the global generator if it has no seed.
    keras.utils.set_random_seed(11)
    state = _values(_state(model))
    backend = keras.backend.backend()
    trains = bool(model.trainable_variables) and all(len(y.shape) for y in model.outputs)
    trains = trains and not (across and backend == "tensorflow")
    if backend == "jax":
        return Continuation(state, [], _program(model, inputs, trains=trains))
    x = list(inputs) if len(inputs) > 1 else inputs[0]
    if not trains:
        return Continuation(state, _values(keras.tree.flatten(model(x, training=False))), "")
    shapes = [(len(inputs[0]), *[1] * (len(output.shape) - 1)) for output in model.outputs]
    targets = keras.tree.pack_sequence_as(model.output, [np.zeros(s, "float32") for s in shapes])
    for _ in range(_STEPS[backend]):
        model.train_on_batch(x, targets)
    return Continuation(state, _values(_state(model)), "")


def _state(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def difference_between(ours: Continuation, theirs: Continuation) -> str:
    """Say how a model that was loaded goes on otherwise than the one in memory.

    Args:
        ours: Of the loaded model.
        theirs: Of the model in memory.

    Returns:
        A clause; empty if they agree.
    """
    if len(ours.state) != len(theirs.state):
        return f"{len(theirs.state)} variables come back as {len(ours.state)}"
    for index, (a, b) in enumerate(zip(ours.state, theirs.state, strict=True)):
        if not np.array_equal(a, b, equal_nan=True):
            return f"variable {index} of {len(ours.state)} comes back with other values"
    lines = zip(ours.program.splitlines(), theirs.program.splitlines(), strict=False)
    for a, b in lines:
        if a != b:
            return f"it computes {a.strip()[:120]!r} instead of {b.strip()[:120]!r}"
    if ours.program != theirs.program:
        return "it computes less or more"
    for a, b in zip(ours.arrays, theirs.arrays, strict=True):
        if a.shape != b.shape or not np.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True):
            return "it computes other numbers"
    return ""


def _values(tensors: Sequence[Any]) -> list[Any]:
    arrays = [np.array(ops.convert_to_numpy(tensor)) for tensor in tensors]
    # NumPy's files know no bfloat16.
    return [a.astype("float32") if a.dtype.kind == "V" else a for a in arrays]


def _program(model: keras.Model, inputs: Sequence[Any], *, trains: bool) -> str:
    import jax  # the backend's own compiler is what is asked

    optimizer = model.optimizer
    groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    state = [[variable.value for variable in group] for group in groups]

    def loss(trainable: Any, others: Any, x: Any) -> Any:
        outputs, others = model.stateless_call(trainable, others, x, training=True)
        targets = keras.tree.map_structure(ops.zeros_like, outputs)
        return model.compute_loss(x, targets, outputs, training=True), others

    def step(state: Any, inputs: list[Any]) -> Any:
        x = inputs if len(inputs) > 1 else inputs[0]
        if not trains:
            return model.stateless_call(*state[:2], x, training=False)
        gradients, others = jax.grad(loss, has_aux=True)(*state[:2], x)
        return others, optimizer.stateless_apply(state[2], gradients, state[0])

    return str(jax.jit(step).lower(state, list(inputs)).as_text())
