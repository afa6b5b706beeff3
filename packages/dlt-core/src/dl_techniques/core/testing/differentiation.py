"""Gradients of a scalar on any backend: the one place in the core that names backends.

Keras has no public function for gradients outside `fit`, so tests need each backend's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import keras
import numpy as np
from keras import ops

from dl_techniques.core.contract.keras_types import Tensor, Variable

Scalar = Callable[..., Tensor]
Tensors = dict[int, Tensor]
"""Some of the inputs, by their position among all."""
Function = Callable[[Tensors, Tensors], Tensor]
"""A scalar of the inputs that are differentiated by, and of the others."""
Evaluation = tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]
Evaluate = Callable[[Tensors, Tensors], Evaluation]
"""The scalar, its gradients by the variables, and those by the first inputs."""


class Differential(NamedTuple):
    """A value with its gradients, as numpy arrays."""

    value: Any
    variables: list[Any]
    """One gradient a variable; `None` where the value does not depend on it."""
    inputs: list[Any]
    """One gradient an input; `None` for integer inputs and where there is no dependence."""


def value_and_gradients(
    function: Scalar, variables: Sequence[Variable], inputs: Sequence[Any]
) -> Differential:
    """Evaluate a scalar function and its gradients.

    Args:
        function: Called with the inputs as tensors; returns a scalar tensor.
        variables: Weights to differentiate by.
        inputs: Arrays; floating ones are differentiated by.

    Returns:
        The value and its gradients by weights and inputs.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> x = np.array([1.0, 2.0], "float32")
        >>> value_and_gradients(lambda x: ops.sum(x * x), [], [x]).inputs[0].tolist()
        [2.0, 4.0]
    """
    return differentiator(function, variables)(inputs)


def differentiator(
    function: Scalar, variables: Sequence[Variable]
) -> Callable[[Sequence[Any]], Differential]:
    """`value_and_gradients` for several calls: on JAX the function is compiled once.

    Args:
        function: See `value_and_gradients`.
        variables: See `value_and_gradients`.

    Returns:
        A function of the inputs.
    """

    def scalar(differentiated: Tensors, others: Tensors) -> Tensor:
        arguments = {**differentiated, **others}
        return function(*(arguments[position] for position in range(len(arguments))))

    evaluate = _BACKENDS[keras.backend.backend()](scalar, variables)

    def differentiate(inputs: Sequence[Any]) -> Differential:
        groups: tuple[Tensors, Tensors] = ({}, {})
        for position, array in enumerate(inputs):
            others = np.asarray(array).dtype.kind not in "fV"
            groups[others][position] = ops.convert_to_tensor(array)
        value, by_variable, by_input = evaluate(*groups)
        by_position = dict(zip(groups[0], by_input, strict=True))
        return Differential(
            _array(value),
            [_array(gradient) for gradient in by_variable],
            [_array(by_position.get(position)) for position in range(len(inputs))],
        )

    return differentiate


def whole_call(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors, to be called once, without a lasting change of any variable.

    On JAX it is compiled as a whole: compiling its operations one by one takes several times as
    long. Elsewhere it runs as it is.

    Args:
        function: Called with tensors.
    """
    if keras.backend.backend() != "jax":
        return function
    import jax  # the backend's own compiler is what is called

    def stateless(*tensors: Tensor) -> Any:
        with keras.StatelessScope():
            return function(*tensors)

    compiled: Callable[..., Any] = jax.jit(stateless)
    return compiled


def _array(tensor: Tensor) -> Any:
    return None if tensor is None else ops.convert_to_numpy(tensor)


def _tensorflow(function: Function, variables: Sequence[Variable]) -> Evaluate:
    import tensorflow as tf  # the backend's own gradient function is what is called

    def evaluate(differentiated: Tensors, others: Tensors) -> Evaluation:
        watched = [*(variable.value for variable in variables), *differentiated.values()]
        with tf.GradientTape() as tape:
            # Frozen weights are not watched by themselves.
            tape.watch(watched)
            value = function(differentiated, others)
        gradients = tape.gradient(value, watched)
        dense = [tf.convert_to_tensor(g) if g is not None else None for g in gradients]
        return value, dense[: len(variables)], dense[len(variables) :]

    return evaluate


def _jax(function: Function, variables: Sequence[Variable]) -> Evaluate:
    import jax  # the backend's own gradient function is what is called

    def pure(values: list[Tensor], differentiated: Tensors, others: Tensors) -> Tensor:
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return function(differentiated, others)

    # Compiled, as in `fit`: the forward and backward operations one by one take longer to compile.
    differentiate = jax.jit(jax.value_and_grad(pure, argnums=(0, 1)))

    def evaluate(differentiated: Tensors, others: Tensors) -> Evaluation:
        values = [variable.value for variable in variables]
        value, (by_variable, by_input) = differentiate(values, differentiated, others)
        return value, by_variable, list(by_input.values())

    return evaluate


def _torch(function: Function, variables: Sequence[Variable]) -> Evaluate:
    import torch  # the backend's own gradient function is what is called

    def evaluate(differentiated: Tensors, others: Tensors) -> Evaluation:
        leaves = {
            position: tensor.detach().clone().requires_grad_(True)
            for position, tensor in differentiated.items()
        }
        watched = [variable.value for variable in variables]
        trainable = [tensor for tensor in watched if tensor.requires_grad]
        value = function(leaves, others)
        gradients = torch.autograd.grad(value, [*trainable, *leaves.values()], allow_unused=True)
        by_trainable = dict(zip(map(id, trainable), gradients, strict=False))
        return (
            value.detach(),
            [by_trainable.get(id(tensor)) for tensor in watched],
            list(gradients[len(trainable) :]),
        )

    return evaluate


_BACKENDS: Final = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
