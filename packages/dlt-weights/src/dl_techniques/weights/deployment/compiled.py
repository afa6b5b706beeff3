"""`compiled`: a model as one function of its backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from dl_techniques.weights.deployment import backends


class Compiled:
    """A model as one function, traced once for each shape of its inputs.

    Args:
        model: The model. Its weights are read at each call, so that later changes are seen.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._call: Callable[[Any], Any] = backends.compiled(model)

    def __call__(self, inputs: Any) -> Any:
        """Compute the outputs, at inference.

        Args:
            inputs: Arrays or tensors, in the structure of the model's inputs.
        """
        return self._call(inputs)


def compiled(model: Any, input_shape: Any = None) -> Compiled:
    """Compile a model for inference, by the means of its backend.

    That is `tf.function` on TensorFlow, `jax.jit` on JAX, and on PyTorch a graph of the same
    operators, traced once for each shape, without Keras between them. Weights are not copied: the
    function computes with those that the model has when it is called. Only code that depends on
    tensors' values, not their shapes, cannot be compiled.

    Args:
        model: A built `keras.Model`; the one that `deploy` returns, for speed.
        input_shape: Shape of a batch, such as `(8, 224, 224, 3)`, to compile for at once; or
            several, in the structure of the model's inputs. By default the first call does.

    Returns:
        A function of the inputs.

    Raises:
        TypeError: If `model` is not a model.
        ValueError: If the model is not built, or the shape has unknown sizes.

    Example:
        >>> import keras, numpy as np
        >>> from dl_techniques import weights
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> function = weights.compiled(model, (4, 3))
        >>> tuple(function(np.ones((4, 3), "float32")).shape)
        (4, 2)
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {type(model).__name__}")
    if not model.built:
        raise ValueError("`model` must be built. Call it once, or give it an Input.")
    function = Compiled(model)
    if input_shape is not None:
        function(_zeros(model, input_shape))
    return function


def _zeros(model: Any, input_shape: Any) -> Any:
    if _is_shape(input_shape):
        shapes, dtypes = [tuple(input_shape)], [_first_dtype(model)]
        wanted: Any = None
    else:
        wanted = model.input
        flat = keras.tree.flatten(wanted)
        dtypes = [x.dtype for x in flat]
        shapes = [tuple(shape) for shape in _shapes(input_shape)]
    if len(shapes) != len(dtypes) or any(None in shape for shape in shapes):
        raise ValueError(
            "`input_shape` must be the whole shape of a batch, or one for each input. "
            f"Received: input_shape={input_shape!r}"
        )
    arrays = [np.zeros(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    return arrays[0] if wanted is None else keras.tree.pack_sequence_as(wanted, arrays)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(n is None or isinstance(n, int) for n in value)


def _shapes(value: Any) -> list[Any]:
    if _is_shape(value):
        return [value]
    items = [value[key] for key in sorted(value)] if isinstance(value, dict) else list(value)
    return [shape for item in items for shape in _shapes(item)]


def _first_dtype(model: Any) -> str:
    try:
        return str(keras.tree.flatten(model.input)[0].dtype)
    except (AttributeError, ValueError):
        return str(model.input_dtype)
