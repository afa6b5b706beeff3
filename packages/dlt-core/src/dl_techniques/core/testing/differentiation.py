"""Gradients of a scalar on any backend: the one place in the core that names backends.

Keras has no public function for gradients outside `fit`, so tests need each backend's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from dl_techniques.core.surface import Tensor, Variable

Scalar = Callable[..., Tensor]


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
    tensors = [ops.convert_to_tensor(array) for array in inputs]
    floating = [i for i, array in enumerate(inputs) if np.asarray(array).dtype.kind in "fV"]

    def scalar(*differentiated: Tensor) -> Tensor:
        arguments = list(tensors)
        for i, tensor in zip(floating, differentiated, strict=True):
            arguments[i] = tensor
        return function(*arguments)

    backend = _BACKENDS[keras.backend.backend()]
    value, by_variable, by_input = backend(scalar, variables, [tensors[i] for i in floating])
    by_all_inputs: list[Any] = [None] * len(inputs)
    for i, gradient in zip(floating, by_input, strict=True):
        by_all_inputs[i] = _array(gradient)
    return Differential(_array(value), [_array(g) for g in by_variable], by_all_inputs)


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


def _tensorflow(
    function: Scalar, variables: Sequence[Variable], inputs: Sequence[Tensor]
) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
    import tensorflow as tf  # the backend's own gradient function is what is called

    watched = [variable.value for variable in variables]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        # Frozen weights are not watched by themselves.
        tape.watch(watched)
        value = function(*inputs)
    gradients = tape.gradient(value, [*watched, *inputs])
    dense = [tf.convert_to_tensor(g) if g is not None else None for g in gradients]
    return value, dense[: len(watched)], dense[len(watched) :]


def _jax(
    function: Scalar, variables: Sequence[Variable], inputs: Sequence[Tensor]
) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
    import jax  # the backend's own gradient function is what is called

    def pure(values: list[Tensor], arguments: list[Tensor]) -> Tensor:
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return function(*arguments)

    values = [variable.value for variable in variables]
    # Compiled, as in `fit`: the forward and backward operations one by one take longer to compile.
    differentiate = jax.jit(jax.value_and_grad(pure, argnums=(0, 1)))
    value, (by_variable, by_input) = differentiate(values, list(inputs))
    return value, by_variable, by_input


def _torch(
    function: Scalar, variables: Sequence[Variable], inputs: Sequence[Tensor]
) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
    import torch  # the backend's own gradient function is what is called

    leaves = [tensor.detach().clone().requires_grad_(True) for tensor in inputs]
    watched = [variable.value for variable in variables]
    trainable = [tensor for tensor in watched if tensor.requires_grad]
    value = function(*leaves)
    gradients = torch.autograd.grad(value, [*trainable, *leaves], allow_unused=True)
    by_trainable = dict(zip(map(id, trainable), gradients, strict=False))
    return (
        value.detach(),
        [by_trainable.get(id(tensor)) for tensor in watched],
        list(gradients[len(trainable) :]),
    )


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
