"""Convolution, normalization, activation, dropout: the usual sequence from four dictionaries."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import keras

from dl_techniques.core import ActivationLike, Tensor, component, resolve
from dl_techniques.core.parts import accepts
from dl_techniques.layers.conv.channels_last import require_channels_last

_CONVOLUTIONS: Final[dict[str, type[Any]]] = {
    "conv2d": keras.layers.Conv2D,
    "conv2d_depthwise": keras.layers.DepthwiseConv2D,
    "conv2d_transpose": keras.layers.Conv2DTranspose,
    "conv2d_separable": keras.layers.SeparableConv2D,
}


@component(
    "dl_techniques>conv2d_builder",
    kind="function",
    tags=("convolution", "vision"),
    aliases=("dl_techniques>Conv2DBuilder",),
    since="0.1",
)
def conv2d_builder(
    x: Tensor | None = None,
    conv_params: Mapping[str, Any] | None = None,
    bn_params: Mapping[str, Any] | None = None,
    ln_params: Mapping[str, Any] | None = None,
    dropout_params: Mapping[str, Any] | None = None,
    conv_type: str = "conv2d",
    activation: ActivationLike | None = None,
    name: str | None = None,
) -> Any:
    """Make a convolution with what usually follows it, and apply it if a tensor is given.

    y = dropout(act(norm(W * x))); what is not asked for is left out.

    The convolution has no bias when batch normalization follows, which would remove it, unless
    `use_bias` is given. `padding="symmetric"` puts r (k - 1) / 2 zeros on each side of the image
    for an odd kernel size k and dilation rate r: with strides and even images, `"same"` is one
    pixel off from that.

    Args:
        x: A tensor `(batch, height, width, channels)` to apply the layers to, or `None`.
        conv_params: Arguments of the convolution, at least what it cannot do without.
        bn_params: Arguments of `keras.layers.BatchNormalization`; `{}` for its defaults, `None`
            for no batch normalization.
        ln_params: Arguments of `keras.layers.LayerNormalization`, in the same way.
        dropout_params: Arguments of `keras.layers.Dropout`, or, with `"spatial": True`, of
            `keras.layers.SpatialDropout2D`, which drops whole channels.
        conv_type: `"conv2d"`, `"conv2d_depthwise"`, `"conv2d_transpose"` or `"conv2d_separable"`.
        activation: Name, function, layer or configuration; `None` for the identity.
        name: Name of the sequence.

    Returns:
        A `keras.Sequential` of Keras's own layers, or, if `x` is given, its output.

    Raises:
        ValueError: If a dictionary holds what its layer does not take, both normalizations are
            asked for, or the type is unknown.

    Example:
        >>> from dl_techniques.layers import conv2d_builder
        >>> block = conv2d_builder(
        ...     conv_params={"filters": 8, "kernel_size": 3}, bn_params={}, activation="relu"
        ... )
        >>> [type(layer).__name__ for layer in block.layers]
        ['Conv2D', 'BatchNormalization', 'Activation']
    """
    if conv_type not in _CONVOLUTIONS:
        raise ValueError(
            f"`conv_type` must be one of {', '.join(_CONVOLUTIONS)}. "
            f"Received: conv_type={conv_type!r}"
        )
    if bn_params is not None and ln_params is not None:
        raise ValueError(
            "`bn_params` and `ln_params` exclude each other. "
            f"Received: bn_params={dict(bn_params)}, ln_params={dict(ln_params)}"
        )
    layers = _convolution(conv_type, conv_params, no_bias=bn_params is not None)
    if bn_params is not None:
        layers.append(_make(keras.layers.BatchNormalization, bn_params, "bn_params"))
    if ln_params is not None:
        layers.append(_make(keras.layers.LayerNormalization, ln_params, "ln_params"))
    if activation is not None:
        part = resolve(activation, kind="activation")
        is_layer = isinstance(part, keras.layers.Layer)
        layers.append(part if is_layer else keras.layers.Activation(part))
    if dropout_params is not None:
        layers.append(_dropout(dropout_params))
    block = keras.Sequential(layers, name=name)
    return block if x is None else block(x)


def _convolution(conv_type: str, given: Mapping[str, Any] | None, no_bias: bool) -> list[Any]:
    params: dict[str, Any] = {"use_bias": not no_bias, **(given or {})}
    if params.get("activation") is not None:
        raise ValueError(
            "The activation follows the normalization: give it as `activation`, not within "
            f"`conv_params`. Received: conv_params={dict(given or {})}"
        )
    params["data_format"] = require_channels_last(params.get("data_format"), "conv2d_builder")
    if params.get("padding") != "symmetric":
        return [_make(_CONVOLUTIONS[conv_type], params, "conv_params")]
    if conv_type == "conv2d_transpose":
        raise ValueError(
            "A transposed convolution has no symmetric padding: `padding` in `conv_params` must be "
            f"'valid' or 'same'. Received: conv_params={dict(given or {})}"
        )
    conv = _make(_CONVOLUTIONS[conv_type], {**params, "padding": "valid"}, "conv_params")
    zeros = [
        rate * (size - 1) // 2
        for rate, size in zip(conv.dilation_rate, conv.kernel_size, strict=True)
    ]
    if any(size % 2 == 0 for size in conv.kernel_size):
        raise ValueError(
            "Symmetric padding needs an odd `kernel_size` in `conv_params`. "
            f"Received: conv_params={dict(given or {})}"
        )
    padding = keras.layers.ZeroPadding2D(
        zeros, data_format="channels_last", dtype=conv.dtype_policy
    )
    return [padding, conv]


def _dropout(given: Mapping[str, Any]) -> Any:
    params = dict(given)
    spatial = params.pop("spatial", False)
    if not spatial:
        return _make(keras.layers.Dropout, params, "dropout_params")
    params.setdefault("data_format", "channels_last")
    return _make(keras.layers.SpatialDropout2D, params, "dropout_params")


def _make(cls: type[Any], params: Mapping[str, Any], argument: str) -> Any:
    """A layer from a caller's dictionary, which stays the caller's."""
    unknown = sorted(key for key in params if not accepts(cls, key))
    if unknown:
        raise ValueError(
            f"`{argument}` holds what {cls.__name__} does not take: {', '.join(unknown)}. "
            f"Received: {argument}={dict(params)}"
        )
    try:
        return cls(**copy.deepcopy(dict(params)))
    except TypeError as error:
        # A missing argument; Keras's own messages name the rest.
        raise ValueError(f"`{argument}` is incomplete: {error}") from error
