"""The short names under which blocks offer their normalization."""

from __future__ import annotations

from typing import Any

from dl_techniques.core import resolve

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
