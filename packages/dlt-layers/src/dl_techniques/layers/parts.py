"""What layers do with the parts that they were given or make themselves."""

from __future__ import annotations

from typing import Any

import keras

from dl_techniques.core import Shape


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


def build_part(part: Any, input_shape: Shape) -> None:
    """Build a part if it is a layer that still has to be built; functions need nothing.

    Args:
        part: What `resolve` returned.
        input_shape: The shape of what the part will be called with.
    """
    if isinstance(part, keras.layers.Layer) and not part.built:
        part.build(input_shape)
