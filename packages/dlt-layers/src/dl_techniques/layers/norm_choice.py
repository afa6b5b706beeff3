"""The short names under which blocks offer their normalization."""

from __future__ import annotations

from typing import Any

import keras

from dl_techniques.core import Tensor, resolve

_SHORT = {
    "batch": "BatchNormalization",
    "layer": "LayerNormalization",
    "rms": "dl_techniques>RMSNorm",
    "none": None,
}


def choose_norm(norm: Any, **defaults: Any) -> Any:
    """A normalization layer of its own for each call.

    Args:
        norm: `"batch"`, `"layer"`, `"rms"`, `"none"`, or whatever `resolve` accepts.
        **defaults: Constructor arguments, as far as the layer accepts them.

    Returns:
        A layer, or `None` for no normalization.
    """
    name = _SHORT.get(norm, norm) if isinstance(norm, str) else norm
    return resolve(name, kind="layer", argument="norm", fresh=True, **defaults)


def normalized(x: Tensor, norm: Any, training: bool | None = None) -> Tensor:
    """A tensor after its normalization, which may be none.

    Args:
        x: The tensor.
        norm: What `choose_norm` returned.
        training: Whether the layer is being trained; Keras drops it where it is not wanted.
    """
    if norm is None:
        return x
    return norm(x, training=training) if isinstance(norm, keras.layers.Layer) else norm(x)
