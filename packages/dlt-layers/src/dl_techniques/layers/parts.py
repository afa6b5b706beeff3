"""Helpers to build and call sub-layers."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dl_techniques.core import Shape, Tensor

_INITIALIZERS = ("kernel_initializer", "bias_initializer")
_SETTINGS = (
    "use_bias",
    "kernel_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "bias_constraint",
)


def fresh_initializer(initializer: Any) -> Any:
    """An initializer for one of several weights that share a setting.

    An initializer gives the same numbers at every call, so that two weights of one shape would
    start equal. A clone draws numbers of its own, unless a seed was given.

    Args:
        initializer: A Keras initializer, or a callable of shape and dtype.
    """
    if isinstance(initializer, keras.initializers.Initializer):
        return initializer.clone()
    return initializer


def call_part(part: Any, x: Tensor, training: bool | None = None) -> Tensor:
    """The output of a part in the dtype of its input, whatever the part's own policy is.

    Args:
        part: Answer of `resolve`: a layer, a function, or `None` for the identity.
        x: The tensor.
        training: Whether the layer is being trained; Keras drops it where it is not wanted.
    """
    if part is None:
        return x
    y = part(x, training=training) if isinstance(part, keras.layers.Layer) else part(x)
    return ops.cast(y, x.dtype)


def build_part(part: Any, input_shape: Shape) -> None:
    """Build a part if it is a layer that still has to be built; functions need nothing.

    Args:
        part: Answer of `resolve`.
        input_shape: The shape of what the part will be called with.
    """
    if isinstance(part, keras.layers.Layer) and not part.built:
        part.build(input_shape)


def is_list_of_shapes(input_shape: Any) -> bool:
    """Return whether a layer is built for several inputs, not for one.

    Args:
        input_shape: Argument of `build`.
    """
    return bool(input_shape) and isinstance(input_shape[0], list | tuple)


def features_of(input_shape: Shape) -> int:
    """The size of the last axis.

    Args:
        input_shape: The whole shape.

    Raises:
        ValueError: If it is unknown.
    """
    features = input_shape[-1]
    if features is None:
        raise ValueError(f"The features must be known. Received: input_shape={tuple(input_shape)}")
    return features


def dense_part(
    owner: Any, units: int, name: str, input_dim: int | None = None, **settings: Any
) -> Any:
    """A dense layer that takes its settings from the layer that it is a part of.

    Args:
        owner: The layer; of the settings of `keras.layers.Dense` those count that it has.
        units: Width of the output.
        name: The part's name.
        input_dim: Width of the input, to build the part for; `None` to leave it unbuilt.
        **settings: Arguments that replace the owner's.
    """
    shared = {key: getattr(owner, key) for key in _SETTINGS if hasattr(owner, key)}
    for key in _INITIALIZERS:
        if hasattr(owner, key):
            shared[key] = fresh_initializer(getattr(owner, key))
    part = keras.layers.Dense(
        units, **{**shared, "dtype": owner.dtype_policy, "name": name, **settings}
    )
    if input_dim is not None:
        part.build((None, input_dim))
    return part


def offset_seed(seed: int | None, offset: int) -> int | None:
    """The seed of one of several random parts, which with one seed would drop the same places.

    Args:
        seed: Their owner's, or `None`.
        offset: Which part it is.
    """
    return None if seed is None else seed + offset
