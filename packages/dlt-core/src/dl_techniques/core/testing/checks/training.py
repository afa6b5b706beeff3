"""Losses and metrics as `fit` and `evaluate` use them: masked, and compiled into a model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject


@check(kinds=("loss", "metric"))
def masked_evaluation(subject: Subject) -> None:
    """In `evaluate`, positions that the mask of the predictions hides count as absent."""
    arrays = list(subject.arrays().values())
    if len(arrays) != 2 or any(array.ndim < 2 for array in arrays[1:]):
        raise NotApplicable("its example has no targets and predictions with channels")
    y_true, y_pred = _sequences(subject, *arrays)
    kept = y_pred.shape[1] // 2
    try:
        wanted = _alone(subject, y_true[:, :kept], y_pred[:, :kept])
    except ValueError as error:
        raise NotApplicable("it takes sequences of one length alone") from error
    model = _padded(y_pred.shape)
    part = subject.create()
    if subject.kind == "loss":
        model.compile("sgd", part)
    else:
        # Keras evaluates no model without a loss; this one fits targets of any shape.
        model.compile("sgd", _mean_of_steps, metrics=[part])
    got = _evaluated(model, y_true, y_pred, part)
    moved = y_pred.copy()
    moved[:, kept:] = moved[:, kept:][:, ::-1] * 0.5
    again = _evaluated(model, y_true, moved, part)
    require(
        np.allclose(got, again, rtol=1e-5, atol=1e-6),
        f"what the mask hides changes it from {got} to {again}",
    )
    close = np.allclose(got, wanted, rtol=2e-5, atol=1e-6)
    require(close, f"with a mask it is {got}, without the hidden positions {wanted}")


@check(kinds=("loss", "metric", "model", "optimizer"))
def config_after_compile(subject: Subject) -> None:
    """Compiling a model with it, or compiling it, leaves its configuration as it was."""
    part = subject.create()
    before = part.get_config()
    if subject.kind == "model":
        model = part
    else:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    settings: dict[str, Any] = {"optimizer": "sgd", "loss": "mse"}
    role = {"loss": "loss", "metric": "metrics", "optimizer": "optimizer"}.get(subject.kind)
    if role is not None:
        settings[role] = [part] if role == "metrics" else part
    model.compile(**settings)
    if subject.kind == "loss":
        arrays = list(subject.arrays().values())
        part(*arrays) if len(arrays) == 2 else None
    after = part.get_config()
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    require(not changed, f"compiling changes {', '.join(changed)} of its configuration")


class _Padded(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Passes its input on, with a mask that hides the second half of each sequence."""

    def call(self, inputs: Any) -> Any:
        return inputs + 0.0

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:  # noqa: ARG002  # Keras's
        shape = ops.shape(inputs)[:2]
        steps = ops.broadcast_to(ops.arange(shape[1]), shape)
        return steps < shape[1] // 2


def _mean_of_steps(y_true: Any, y_pred: Any) -> Any:  # noqa: ARG001  # a loss takes both
    return ops.mean(ops.reshape(y_pred, (*y_pred.shape[:2], -1)), axis=-1)


def _padded(shape: tuple[int, ...]) -> keras.Model:
    inputs = keras.Input(batch_shape=shape)
    return keras.Model(inputs, _Padded()(inputs))


def _sequences(subject: Subject, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Two sequences whose steps are the rows, if the arrays have no axis of steps."""
    if y_pred.ndim > 2:
        return y_true, y_pred
    rows = [np.concatenate([array, array[::-1]]) for array in (y_true, y_pred)]
    steps = [np.stack([array, array[::-1]]) for array in (y_true, y_pred)]
    if y_true.ndim < y_pred.ndim and y_pred.shape[-1] == 1:
        steps[0] = steps[0][..., None]
    try:
        same = np.allclose(_alone(subject, *steps), _alone(subject, *rows), rtol=1e-4, atol=1e-6)
    except ValueError as error:
        raise NotApplicable("it takes no sequences") from error
    if not same:
        raise NotApplicable("it takes the axis of steps for another one")
    return steps[0], steps[1]


def _alone(subject: Subject, y_true: Any, y_pred: Any) -> Any:
    part = subject.create()
    if subject.kind == "loss":
        return _numbers(part(y_true, y_pred))
    part.update_state(y_true, y_pred)
    return _numbers(part.result())


def _evaluated(model: keras.Model, y_true: Any, y_pred: Any, part: Any) -> Any:
    settings = {"batch_size": len(y_pred), "verbose": 0, "return_dict": True}
    found = model.evaluate(y_pred, y_true, **settings)
    return _numbers(part.result()) if isinstance(part, keras.metrics.Metric) else found["loss"]


def _numbers(result: Any) -> Any:
    flat = [np.ravel(ops.convert_to_numpy(value)) for value in keras.tree.flatten(result)]
    return np.concatenate(flat).astype("float64")
