"""The one place for what each backend compiles with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from dl_techniques.weights.deployment.graph import at_inference

Function = Callable[[Any], Any]


def compiled(model: Any) -> Function:
    """A function that computes a model's outputs at inference.

    Args:
        model: A built model.
    """
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()](model)


def evaluated(model: Any, inputs: Any) -> Any:
    """The outputs at inference of a model that is called once.

    Args:
        model: A built model.
        inputs: Its inputs.
    """
    # JAX would compile each operation by itself.
    if keras.backend.backend() == "jax":
        return _jax(model)(inputs)
    return model(inputs, training=False)


def _tensorflow(model: Any) -> Function:
    import tensorflow as tf  # its own compiler is what is called

    def infer(inputs: Any) -> Any:
        return model(inputs, training=False)

    function = tf.function(infer)

    def call(inputs: Any) -> Any:
        # Arrays would be constants, and each be traced.
        return function(keras.tree.map_structure(tf.convert_to_tensor, inputs))

    return call


def _jax(model: Any) -> Function:
    import jax  # its own compiler is what is called

    def infer(trained: Any, others: Any, inputs: Any) -> Any:
        # Unlike a call of the model, this hands on what the model's own `call` may not take.
        return model.stateless_call(trained, others, inputs, **at_inference(model))[0]

    function = jax.jit(infer)

    def call(inputs: Any) -> Any:
        trained = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        return function(trained, others, inputs)

    return call


def _torch(model: Any) -> Function:
    from dl_techniques.weights.deployment.torch_graph import Traced

    traced: dict[Any, Traced] = {}

    def call(inputs: Any) -> Any:
        flat = [keras.ops.convert_to_tensor(x) for x in keras.tree.flatten(inputs)]
        key = tuple((tuple(x.shape), x.dtype, x.device) for x in flat)
        if key not in traced:
            traced[key] = Traced(model, inputs, flat)
        return traced[key](flat)

    return call
