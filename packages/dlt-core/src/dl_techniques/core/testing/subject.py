"""One example under test: fresh instances, the same inputs each time, outputs as arrays."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops

from dl_techniques.core.contract.component import declaration_of
from dl_techniques.core.contract.example import Example, Fresh, TensorSpec
from dl_techniques.core.contract.keras_types import Tensor
from dl_techniques.core.testing.causes import cause_of
from dl_techniques.core.testing.check import Blocked, NotApplicable
from dl_techniques.core.testing.differentiation import (
    Differential,
    differentiator,
    whole_call,
)

Answer = TypeVar("Answer")

_KINDS = (
    (keras.Model, "model"),
    (keras.layers.Layer, "layer"),
    (keras.losses.Loss, "loss"),
    (keras.metrics.Metric, "metric"),
    (keras.initializers.Initializer, "initializer"),
    (keras.regularizers.Regularizer, "regularizer"),
    (keras.constraints.Constraint, "constraint"),
    (keras.callbacks.Callback, "callback"),
    (keras.optimizers.schedules.LearningRateSchedule, "schedule"),
    (keras.optimizers.Optimizer, "optimizer"),
)


class Subject:
    """An example with everything that checks need of it.

    Args:
        example: The example. Its class need not be declared with `@component`.
        strict_documentation: Whether the documentation must be complete.
    """

    def __init__(self, example: Example, *, strict_documentation: bool = False) -> None:
        self.example = example
        self.cls = example.cls
        self.strict_documentation = strict_documentation
        self.declaration = declaration_of(example.cls)
        containers = (list, dict, set)
        self.given = {
            name: copy.deepcopy(value)
            for name, value in example.config.items()
            if isinstance(value, containers)
        }
        """The arguments that a constructor could change, as they were."""
        self._blocked: dict[str, Exception] = {}
        self._answers: dict[Any, Any] = {}

    @property
    def id(self) -> str:
        """The component's identifier, or the class's own address."""
        if self.declaration is not None:
            return self.declaration.id
        return f"{self.cls.__module__}.{self.cls.__qualname__}"

    @functools.cached_property
    def kind(self) -> str:
        """The declared kind, or what the class derives from."""
        if self.declaration is not None:
            return self.declaration.kind
        if isinstance(self.cls, type):
            for base, kind in _KINDS:
                if issubclass(self.cls, base):
                    return kind
        return "function"

    @property
    def is_class(self) -> bool:
        """Return whether it is a class, not a function."""
        return isinstance(self.cls, type)

    def has(self, trait: str) -> bool:
        """Return whether the example claims a trait."""
        return trait in self.example.traits

    def once(self, question: Callable[[Subject], Answer]) -> Answer:
        """Return the answer to a question about this subject, which is asked only once.

        Args:
            question: A function of the subject.
        """
        if question not in self._answers:
            self._answers[question] = None  # asked meanwhile, by itself: no answer
            self._answers[question] = question(self)
        answer: Answer = self._answers[question]
        return answer

    # Inputs

    @functools.cached_property
    def specs(self) -> dict[Any, TensorSpec]:
        """Position or name of an input -> what it looks like."""
        inputs = self.example.inputs
        if inputs is None:
            return {}
        if isinstance(inputs, TensorSpec):
            return {0: inputs}
        if isinstance(inputs, Mapping):
            return dict(inputs)
        return dict(enumerate(inputs))

    def arrays(self, *, batch: int | None = None, scale: float = 1.0) -> dict[str | int, Any]:
        """Input arrays, the same at each call.

        Args:
            batch: Number of samples; by default the example's own.
            scale: Factor of standard normal inputs.
        """
        rng = np.random.default_rng(zlib.crc32(f"{self.id}/{self.example.name}".encode()))
        return {key: _fill(spec, rng, batch, scale) for key, spec in self.specs.items()}

    @functools.cached_property
    def floating(self) -> list[str | int]:
        """The inputs that are differentiated by."""
        return [k for k, spec in self.specs.items() if spec.dtype.startswith(("float", "bfloat"))]

    @functools.cached_property
    def free(self) -> list[str | int]:
        """Standard normal inputs, which may be scaled and perturbed at will."""
        return [
            key
            for key in self.floating
            if self.specs[key].low is None and self.specs[key].values == "random"
        ]

    @functools.cached_property
    def maskable(self) -> list[str | int]:
        """The inputs that a mask may come with: sequences of vectors, if all inputs are."""
        takes = "mask" in inspect.signature(self.cls.call).parameters
        sequences = [key for key in self.free if len(self.specs[key].shape) == 3]
        whole = len(sequences) == len(self.specs)
        return sequences if whole and (takes or self.built.supports_masking) else []

    # Instances

    def create(self, **overrides: Any) -> Any:
        """A fresh, unbuilt instance."""
        with self._step("create", plain=not overrides):
            return self.example.create(**overrides)

    @contextlib.contextmanager
    def _step(self, *steps: str, plain: bool) -> Iterator[None]:
        """Carry out a step on which other checks depend; where it failed once, block them.

        Args:
            *steps: The steps that must not have failed; the first is the one carried out.
            plain: Whether it is carried out as the example says.
        """
        for step in steps:
            if step in self._blocked:
                raise Blocked(self._blocked[step])
        try:
            yield
        except (Blocked, NotApplicable):
            raise
        except Exception as error:
            if plain:
                self._blocked[steps[0]] = error
            cause = cause_of(error, self) if steps[0] == "trace" else None
            if cause is not None and cause.traced:
                self._blocked["trace"] = error
            raise

    def make(self, **overrides: Any) -> Any:
        """A fresh instance, built by its first call."""
        instance = self.create(**overrides)
        with self._step("call", plain=not overrides):
            self.call(instance, self.arrays())
        return instance

    def make_symbolically(self, **overrides: Any) -> Any:
        """A fresh instance, built by a call with symbols: nothing is computed."""
        instance = self.create(**overrides)
        self.call(instance, self.symbols(), training=None)
        return instance

    @contextlib.contextmanager
    def policy(self, name: str) -> Iterator[dict[str, str]]:
        """Yield the arguments of an instance that computes under a dtype policy.

        A layer is told its own; those of a model follow that of the process.

        Args:
            name: The policy's name.
        """
        if self.kind != "model":
            yield {"dtype": name}
            return
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(name)
        try:
            yield {}
        finally:
            keras.config.set_dtype_policy(before)

    def symbols(self) -> dict[str | int, Any]:
        """Symbolic inputs of the example's shapes and dtypes."""
        return {
            key: keras.KerasTensor(spec.shape, dtype=spec.dtype) for key, spec in self.specs.items()
        }

    def parts(self) -> dict[str, Any]:
        """The values that each instance has made anew, such as sub-layers, made now."""
        config = self.example.config
        return {key: value.make() for key, value in config.items() if isinstance(value, Fresh)}

    def make_like_built(self, **overrides: Any) -> Any:
        """A fresh instance with the weights of `built`, for checks that change its state."""
        instance = self.make(**overrides)
        instance.set_weights(self.built.get_weights())
        return instance

    @functools.cached_property
    def built(self) -> Any:
        """One built instance that read-only checks share."""
        return self.make()

    @functools.cached_property
    def expected(self) -> list[Any]:
        """The outputs of `built` at inference."""
        return self.outputs(self.built, self.arrays())

    @functools.cached_property
    def takes_training(self) -> bool:
        """Return whether `call` has a `training` argument."""
        return "training" in inspect.signature(self.cls.call).parameters

    def call(self, instance: Any, arrays: Mapping[str | int, Any], training: Any = False) -> Any:
        """Call a layer or model as the example says.

        Args:
            instance: The layer.
            arrays: Arrays or tensors by position or name.
            training: `None` leaves the argument out.
        """
        positional, named = self.arguments(arrays)
        settings = dict(self.example.call)
        if self.takes_training and training is not None:
            settings["training"] = training
        symbolic = any(isinstance(array, keras.KerasTensor) for array in arrays.values())
        with self._step("trace" if symbolic else "call", "call", plain=False):
            return instance(*positional, **named, **settings)

    def arguments(self, arrays: Mapping[str | int, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Inputs as positional and keyword arguments, as the example gives them."""
        positional = [arrays[key] for key in sorted(k for k in arrays if isinstance(k, int))]
        if isinstance(self.example.inputs, list):
            positional = [positional]
        named = {key: value for key, value in arrays.items() if isinstance(key, str)}
        if named and named.keys().isdisjoint(inspect.signature(self.cls.call).parameters):
            return [named], {}
        return positional, named

    def outputs(
        self, instance: Any, arrays: Mapping[str | int, Any], training: Any = False
    ) -> list[Any]:
        """The outputs as a flat list of arrays."""
        return to_arrays(self.call(instance, arrays, training))

    def infer(self, instance: Any, arrays: Mapping[str | int, Any]) -> list[Tensor]:
        """The output tensors of a built instance at inference, in the way that is cheapest.

        Checks of the eager mode, or of changes of variables, use `call`.
        """

        def call(*tensors: Tensor) -> Any:
            return self.call(instance, dict(zip(arrays, tensors, strict=True)))

        with self._step("trace", "call", plain=False):
            outputs = whole_call(call)(*map(ops.convert_to_tensor, arrays.values()))
        return list(keras.tree.flatten(outputs))

    def differentiate(self, instance: Any, arrays: Mapping[str | int, Any]) -> Differential:
        """Gradients of the outputs' inner product with fixed random numbers, at inference."""
        own = instance is self.built
        differentiate = self._differentiate_built if own else self._differentiator(instance)
        with self._step("trace", "call", plain=False):
            return differentiate(list(arrays.values()))

    @functools.cached_property
    def _differentiate_built(self) -> Callable[[Sequence[Any]], Differential]:
        return self._differentiator(self.built)

    def _differentiator(self, instance: Any) -> Callable[[Sequence[Any]], Differential]:
        def scalar(*tensors: Tensor) -> Tensor:
            return project(self.call(instance, dict(zip(self.specs, tensors, strict=True))))

        return differentiator(scalar, instance.trainable_variables)

    # Models

    def symbolic(self, instance: Any, *, inner: bool = False) -> keras.Model:
        """A functional model around a layer, with an unknown batch.

        Args:
            instance: The layer.
            inner: Whether the axes between batch and last are unknown, too.
        """
        inputs = {key: _symbol(spec, key, inner) for key, spec in self.specs.items()}
        outputs = self.call(instance, inputs, training=None)
        symbols = list(inputs.values())
        return keras.Model(symbols if len(symbols) > 1 else symbols[0], outputs)

    def run(self, model: keras.Model, arrays: Mapping[str | int, Any]) -> list[Any]:
        """The outputs of such a model."""

        def call(*tensors: Tensor) -> Any:
            return model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)

        # The arguments of `built`'s call need no more compiling, operation by operation.
        shapes = [spec.shape for spec in self.specs.values()]
        known = shapes == [array.shape for array in arrays.values()]
        function = call if known else whole_call(call)
        with self._step("trace", "call", plain=False):
            return to_arrays(function(*map(ops.convert_to_tensor, arrays.values())))

    def require_batched(self) -> None:
        """Leave checks that need a batch axis on every input."""
        if not all(spec.batched for spec in self.specs.values()):
            raise NotApplicable("an input is shared by all samples")

    def require_first(self) -> None:
        """Leave checks of the class, not of a setting, to the first of its own examples."""
        others = [*getattr(self.cls, "examples", tuple)()][1:]
        if self.example.name in {example.name for example in others}:
            raise NotApplicable("the first example stands for all")


def to_arrays(outputs: Any) -> list[Any]:
    """A structure of tensors as a flat list of numpy arrays.

    Args:
        outputs: Tensors in lists, tuples and dictionaries.
    """
    return [ops.convert_to_numpy(t) for t in keras.tree.flatten(outputs) if t is not None]


def project(outputs: Any) -> Tensor:
    """Inner product of all floating outputs with fixed random numbers: a scalar.

    Args:
        outputs: Tensors in lists, tuples and dictionaries.
    """
    rng = np.random.default_rng(0)
    total: Any = 0.0
    for tensor in keras.tree.flatten(outputs):
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if "float" in dtype:
            weights = rng.normal(size=tuple(tensor.shape)).astype("float32")
            total = total + ops.sum(tensor * ops.cast(weights, dtype))
    return total


def difference(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Largest |a - b| / (1 + |b|) over two lists of arrays; NaN and infinity agree with themselves.

    Args:
        ours: Arrays.
        theirs: As many arrays of the same shapes.
    """
    if len(ours) != len(theirs):
        raise AssertionError(f"{len(ours)} outputs instead of {len(theirs)}")
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape:
            raise AssertionError(f"shape {a.shape} instead of {b.shape}")
        a64, b64 = np.asarray(a).astype("float64"), np.asarray(b).astype("float64")
        finite = np.isfinite(b64)
        if not np.array_equal(a64[~finite], b64[~finite], equal_nan=True):
            return float("inf")
        gap = np.abs(a64[finite] - b64[finite]) / (1 + np.abs(b64[finite]))
        if not np.isfinite(gap).all():
            return float("inf")
        worst = max(worst, float(gap.max(initial=0.0)))
    return worst


def _fill(spec: TensorSpec, rng: np.random.Generator, batch: int | None, scale: float) -> Any:
    shape = spec.shape
    if batch is not None and spec.batched:
        shape = (batch, *shape[1:])
    if spec.values == "binary":
        values: Any = rng.integers(0, 2, shape)
    elif spec.values == "one_hot":
        values = np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]
    elif spec.values == "probabilities":
        values = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    elif spec.low is None or spec.high is None:
        values = scale * rng.normal(size=shape)
    elif spec.dtype.startswith(("int", "uint")):
        values = rng.integers(int(spec.low), int(spec.high), shape)
    else:
        values = rng.uniform(spec.low, spec.high, shape)
    return np.asarray(values, dtype="float32" if spec.dtype == "bfloat16" else spec.dtype)


def _symbol(spec: TensorSpec, key: str | int, inner: bool) -> Any:
    if not spec.batched:
        raise NotApplicable("an input is shared by all samples")
    axes = [None if inner and i < len(spec.shape) - 1 else n for i, n in enumerate(spec.shape)]
    return keras.Input(tuple(axes[1:]), dtype=spec.dtype, name=f"input_{key}")
