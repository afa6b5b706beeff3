"""Golden files: what a component gave where it was saved, for comparing wherever it is loaded.

Each example becomes a model file with the arrays that went in and came out. `verify_golden` needs
the file alone, so that a process that has imported nothing but the core finds the component as a
user's would, on another backend, in another version of Keras, or years later.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import keras
import numpy as np
from keras import ops

from dl_techniques.core.atomic_write import replacing
from dl_techniques.core.contract.keras_types import Tensor
from dl_techniques.core.files.load import load_model
from dl_techniques.core.files.save import save_model
from dl_techniques.core.testing.check import LAYERS, NotApplicable
from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.core.testing.runner import examples_of
from dl_techniques.core.testing.subject import Subject, difference, project, to_arrays

TOLERANCE: Final = 1e-5


class Golden(NamedTuple):
    """The outputs and gradients of one file."""

    component: str
    example: str
    backend: str
    """The backend that wrote it."""
    keras: str
    """The version of Keras that wrote it."""
    outputs: float
    """Largest |a - b| / (1 + |b|) of an output."""
    gradients: float
    """Largest |a - b| of a gradient, as a share of the largest gradient."""


def export_golden(component: Any, folder: str | Path) -> list[Path]:
    """Write a model file for each example of a component, and its numbers beside it.

    The weights are moved away from where they begin: a scale of one or an offset of zero would
    hide that two of them were exchanged.

    Args:
        component: A class, the identifier of an installed component, or one `Example`.
        folder: Where to; it must exist.

    Returns:
        The model files. The numbers are in an `.npz` file of the same name.

    Raises:
        NotApplicable: If a component of its kind is not part of a model file.
        ValueError: If there is no example.

    Example:
        >>> import tempfile, keras
        >>> from dl_techniques.core import Example, TensorSpec
        >>> example = Example(keras.layers.Dense, {"units": 2}, TensorSpec((3, 4)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (path,) = export_golden(example, folder)
        ...     verify_golden(path).outputs
        0.0
    """
    return [_export(Subject(example), Path(folder)) for example in examples_of(component)]


def verify_golden(path: str | Path, *, tolerance: float = TOLERANCE) -> Golden:
    """Load a file of `export_golden` and compare outputs and gradients with those in it.

    Args:
        path: The model file.
        tolerance: The largest difference that is allowed, as `Golden` measures it.

    Returns:
        The differences.

    Raises:
        AssertionError: If one exceeds the tolerance.
        ModelFileError: If the file cannot be loaded.
    """
    source = Path(path)
    with np.load(source.with_suffix(".npz")) as archive:
        stored = {name: archive[name] for name in archive.files}
    about = json.loads(str(stored["about"]))
    model = load_model(source)
    outputs, gradients = _EVALUATIONS[about["kind"]](model, _numbered(stored, "input"))
    golden = Golden(
        **{key: about[key] for key in ("component", "example", "backend", "keras")},
        outputs=difference(outputs, _numbered(stored, "output")),
        gradients=_share(gradients, _numbered(stored, "gradient")),
    )
    for what in ("outputs", "gradients"):
        gap = getattr(golden, what)
        if not gap <= tolerance:
            raise AssertionError(
                f"{golden.component} [{golden.example}], saved by Keras {golden.keras} on "
                f"{golden.backend}: {what} differ by {gap:.1e}, more than {tolerance:.0e}"
            )
    return golden


def _export(subject: Subject, folder: Path) -> Path:
    if subject.kind not in _MODELS:
        raise NotApplicable(f"a {subject.kind} is not part of a model file")
    model = _MODELS[subject.kind](subject)
    inputs = list(subject.arrays().values())
    outputs, gradients = _EVALUATIONS[subject.kind](model, inputs)
    about = {
        "component": subject.id,
        "example": subject.example.name,
        "kind": subject.kind,
        "backend": keras.backend.backend(),
        "keras": keras.version(),
    }
    path = folder / f"{subject.id.replace('>', '.')}-{subject.example.name}.keras"
    save_model(model, path)
    arrays = {"input": inputs, "output": outputs, "gradient": gradients}
    named = {f"{key} {i}": a for key, group in arrays.items() for i, a in enumerate(group)}
    with replacing(path.with_suffix(".npz")) as temporary:
        np.savez_compressed(temporary, about=json.dumps(about), **named)
    return path


def _numbered(stored: Mapping[str, Any], what: str) -> list[Any]:
    count = sum(name.startswith(f"{what} ") for name in stored)
    return [stored[f"{what} {index}"] for index in range(count)]


def _share(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Largest difference of two lists of gradients, as a share of the largest gradient."""
    shapes = [a.shape for a in ours], [b.shape for b in theirs]
    if shapes[0] != shapes[1]:
        raise AssertionError(f"gradients of the shapes {shapes[0]} instead of {shapes[1]}")
    largest = max((float(np.abs(b).max(initial=0.0)) for b in theirs), default=0.0)
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return float("inf")
        gap = np.abs(a - b, where=np.isfinite(b), out=np.zeros_like(b))
        worst = max(worst, float(gap.max(initial=0.0)))
    return worst / (largest or 1.0)


# The models that hold the components.


def _around_layer(subject: Subject) -> keras.Model:
    symbols = {
        key: keras.Input(
            batch_shape=(None, *spec.shape[1:]) if spec.batched else spec.shape,
            dtype=spec.dtype,
            name=f"input_{key}",
        )
        for key, spec in subject.specs.items()
    }
    outputs = subject.call(subject.create(), symbols, training=None)
    model = keras.Model(_one_or_all(list(symbols.values())), outputs)
    _move(model)
    return model


def _move(model: keras.Model) -> None:
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "float" in str(weight.dtype):
            noise = 0.1 * rng.normal(size=tuple(weight.shape))
            # An untrained weight may be a variance: it stays positive.
            weight.assign(weight + (noise if weight.trainable else np.abs(noise)).astype("float32"))


def _around_weight(subject: Subject) -> keras.Model:
    """A model whose one kernel has the example's shape; the component attaches to it."""
    (spec,) = subject.specs.values()
    axes = string.ascii_lowercase[: len(spec.shape)]
    kernel = keras.layers.EinsumDense(
        f"z{axes[0]},{axes}->z{axes[1:]}",
        output_shape=spec.shape[1:],
        **{f"kernel_{subject.kind}": subject.create()},
    )
    model = keras.Sequential([keras.Input(spec.shape[:1]), kernel])
    if subject.kind != "initializer":
        model.set_weights(list(subject.arrays().values()))
    return model


def _compiled(subject: Subject) -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    part = subject.create()
    model.compile("sgd", **({"loss": part} if subject.kind == "loss" else {"metrics": [part]}))
    # Keras builds the optimizer when it loads, and warns if it was not built when saving.
    model.optimizer.build(model.trainable_variables)
    return model


_MODELS: Final[dict[str, Callable[[Subject], keras.Model]]] = {
    **dict.fromkeys(LAYERS, _around_layer),
    **dict.fromkeys(("initializer", "regularizer", "constraint"), _around_weight),
    **dict.fromkeys(("loss", "metric"), _compiled),
}


# Outputs are compared, and gradients where they exist.

Numbers = tuple[list[Any], list[Any]]


def _evaluate_layer(model: keras.Model, inputs: list[Any]) -> Numbers:
    outputs = to_arrays(model(_one_or_all(inputs), training=False))
    weights = model.trainable_variables

    def scalar(*tensors: Tensor) -> Tensor:
        return project(model(_one_or_all(tensors), training=False))

    return outputs, _gradients(scalar, weights, inputs)


def _one_or_all(tensors: Sequence[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else list(tensors)


def _evaluate_loss(model: keras.Model, inputs: list[Any]) -> Numbers:
    value = model.loss(*inputs)
    return to_arrays(value), _gradients(model.loss, [], inputs)


def _evaluate_metric(model: keras.Model, inputs: list[Any]) -> Numbers:
    (config,) = model.get_compile_config()["metrics"]
    metric = keras.saving.deserialize_keras_object(config)
    metric.update_state(*inputs)
    return to_arrays(metric.result()), []


def _evaluate_initializer(model: keras.Model, _: list[Any]) -> Numbers:
    return model.get_weights(), []


def _evaluate_regularizer(model: keras.Model, _: list[Any]) -> Numbers:
    def penalty() -> Tensor:
        return ops.sum(ops.stack(model.losses))

    return to_arrays(penalty()), _gradients(penalty, model.trainable_variables, [])


def _evaluate_constraint(model: keras.Model, inputs: list[Any]) -> Numbers:
    (kernel,) = model.trainable_variables
    constraint = kernel.constraint
    gradients = _gradients(lambda weight: project(constraint(weight)), [], inputs)
    return to_arrays(constraint(kernel.value)), gradients


def _gradients(scalar: Callable[..., Tensor], weights: Any, inputs: list[Any]) -> list[Any]:
    result = value_and_gradients(scalar, weights, inputs)
    floating = [(g, a) for g, a in zip(result.inputs, inputs, strict=True) if a.dtype.kind == "f"]
    pairs = [*zip(result.variables, weights, strict=True), *floating]
    # Without a dependence on a weight one backend returns None, another zero.
    return [np.zeros(tuple(p.shape), "float32") if g is None else np.asarray(g) for g, p in pairs]


_EVALUATIONS: Final[dict[str, Callable[[keras.Model, list[Any]], Numbers]]] = {
    **dict.fromkeys(LAYERS, _evaluate_layer),
    "loss": _evaluate_loss,
    "metric": _evaluate_metric,
    "initializer": _evaluate_initializer,
    "regularizer": _evaluate_regularizer,
    "constraint": _evaluate_constraint,
}
