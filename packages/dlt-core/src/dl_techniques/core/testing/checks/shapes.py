"""Shapes and dtypes: what is claimed, what comes, and which axes may be unknown."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from dl_techniques.core.contract.keras_types import Shape
from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, difference, to_arrays


def _shape_list(shapes: Any) -> list[tuple[Any, ...]]:
    """A structure of shapes as a flat list; a shape is a tuple of numbers and `None`."""
    if isinstance(shapes, dict):
        return [shape for value in shapes.values() for shape in _shape_list(value)]
    if all(size is None or isinstance(size, int) for size in shapes):
        return [tuple(shapes)]
    return [shape for value in shapes for shape in _shape_list(value)]


def _agrees(claimed: tuple[Any, ...], actual: tuple[int, ...]) -> bool:
    return len(claimed) == len(actual) and all(
        c is None or c == a for c, a in zip(claimed, actual, strict=True)
    )


@check()
def output_shape(subject: Subject) -> None:
    """`compute_output_shape` claims the shapes that come."""
    actual = [array.shape for array in subject.expected]
    for inner in (False, True):
        try:
            claimed = _shape_list(_claimed_shapes(subject, unknown=inner))
        except NotImplementedError as error:
            raise NotApplicable("it leaves its shapes to be traced") from error
        except (ValueError, TypeError):
            if inner:  # it may need to know
                return
            raise
        require(len(claimed) == len(actual), f"claims {len(claimed)} outputs, {len(actual)} come")
        for ours, theirs in zip(claimed, actual, strict=True):
            what = " of inputs of unknown length" if inner else ""
            require(
                _agrees(ours, theirs), f"`compute_output_shape` claims {ours}{what}, {theirs} comes"
            )


def _claimed_shapes(subject: Subject, *, unknown: bool) -> Any:
    """Return the answer of `compute_output_shape`, called as Keras calls it."""
    function = subject.built.compute_output_shape
    shapes: dict[Any, Shape] = {key: spec.shape for key, spec in subject.specs.items()}
    if unknown:
        # All but the last axis; of a vector, all.
        shapes = {
            key: tuple(
                size if axis and axis == len(shape) - 1 else None for axis, size in enumerate(shape)
            )
            for key, shape in shapes.items()
        }
    positional, named = subject.arguments(shapes)
    if len(positional) == 1 and not named:
        return function(positional[0])
    # With several inputs its parameters are `<argument>_shape`; attention may leave some out.
    order = list(inspect.signature(subject.cls.call).parameters)
    order = order[1:] if order[:1] == ["self"] else order
    by_name = dict(zip((f"{name}_shape" for name in order), positional, strict=False))
    by_name.update({f"{name}_shape": shape for name, shape in named.items()})
    parameters = inspect.signature(function).parameters
    taken = {name: shape for name, shape in by_name.items() if name in parameters}
    if taken:
        return function(**taken)
    if len(parameters) != 1:
        raise NotApplicable("`compute_output_shape` names other inputs; `output_spec` covers them")
    return function([*positional, *named.values()])


@check()
def output_spec(subject: Subject) -> None:
    """A symbolic call has the shapes and dtypes that come."""
    instance = subject.make()
    claimed = keras.tree.flatten(subject.call(instance, subject.symbols(), training=None))
    actual = keras.tree.flatten(subject.call(instance, subject.arrays()))
    require(len(claimed) == len(actual), f"claims {len(claimed)} outputs, {len(actual)} come")
    for ours, theirs in zip(claimed, actual, strict=True):
        shape = tuple(theirs.shape)
        require(_agrees(tuple(ours.shape), shape), f"claims {ours.shape}, {shape} comes")
        dtype = keras.backend.standardize_dtype(theirs.dtype)
        require(ours.dtype == dtype, f"claims the dtype {ours.dtype}, {dtype} comes")


@check()
def dynamic_batch(subject: Subject) -> None:
    """A model with an unknown batch runs with one sample and with four."""
    subject.require_batched()
    model = subject.symbolic(subject.create())
    for output in keras.tree.flatten(model.output):
        batch = output.shape[0] if output.shape else None
        coupled = subject.has("couples_batch") or not output.shape
        require(batch is None or coupled, f"the batch of the output is fixed to {batch}")
    for batch in (1, 4):
        for array in subject.run(model, subject.arrays(batch=batch)):
            fine = not array.shape or array.shape[0] % batch == 0
            require(fine, f"{batch} samples give an output of shape {array.shape}")


@check(level="may")
def dynamic_inner_axes(subject: Subject) -> None:
    """Unknown axes between batch and channels work, or are refused when it is built."""
    subject.require_batched()
    if all(len(spec.shape) < 3 for spec in subject.specs.values()):
        raise NotApplicable("it has no axes between batch and channels")
    keras.utils.set_random_seed(0)
    fixed = subject.symbolic(subject.create())
    keras.utils.set_random_seed(0)
    try:
        dynamic = subject.symbolic(subject.create(), inner=True)
    except ValueError:
        return
    dynamic.set_weights(fixed.get_weights())
    arrays = subject.arrays()
    gap = difference(subject.run(dynamic, arrays), subject.run(fixed, arrays))
    require(gap <= 1e-4, f"results differ by {gap:.1e} from those with known axes")


@check(level="may")
def empty_batch(subject: Subject) -> None:
    """A batch without samples gives outputs without samples."""
    subject.require_batched()
    if keras.backend.backend() == "tensorflow":
        raise NotApplicable("most of TensorFlow's CPU kernels refuse empty tensors")
    if subject.has("couples_batch"):
        raise NotApplicable("it couples the samples of a batch")
    for array in to_arrays(subject.infer(subject.built, subject.arrays(batch=0))):
        require(
            not array.shape or array.size == 0,
            f"an output of shape {array.shape} comes from no samples",
        )
