"""Gains and shifts of channels, taken into the kernel and bias before them.

gamma * (W x + b - mean) / sqrt(var + eps) + beta = (s W) x + (b - mean) s + beta
with s = gamma / sqrt(var + eps)
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from dl_techniques.core.contract.changed_parts import quantization_mode

Array = npt.NDArray[Any]

LAYER_SCALE: Final = "dl_techniques>LayerScale"
ATTENTION: Final = "dl_techniques>GroupQueryAttention"
_DEPTHWISE: Final = "dl_techniques>DepthwiseConvolution"
_LORA: Final = ("lora_rank", "lora_alpha")


class Affine(NamedTuple):
    """y = scale * x + shift along one axis."""

    scale: Array
    shift: Array
    axis: int


def identifier(layer: Any) -> str:
    """The name under which a layer's class is registered.

    Args:
        layer: The layer.
    """
    return str(keras.saving.get_registered_name(type(layer)))


def affine_of(layer: Any, ndim: int) -> Affine | None:
    """Return a layer's scale and offset for each channel at inference, if it does nothing else.

    Args:
        layer: Any layer.
        ndim: Rank of its input.
    """
    if type(layer) is keras.layers.BatchNormalization:
        scale = 1.0 / np.sqrt(_numbers(layer.moving_variance) + layer.epsilon)
        if layer.gamma is not None:
            scale = scale * _numbers(layer.gamma)
        shift = -_numbers(layer.moving_mean) * scale
        if layer.beta is not None:
            shift = shift + _numbers(layer.beta)
        return Affine(scale, shift, layer.axis % ndim)
    if identifier(layer) == LAYER_SCALE:
        gamma = _numbers(layer.gamma)
        return Affine(gamma, np.zeros_like(gamma), ndim - 1)
    return None


def reason_against(layer: Any) -> str | None:
    """Why a layer's kernel cannot take the gain of what follows; `None` if it can.

    Args:
        layer: Any layer.
    """
    if _kernel_name(layer) is None:
        return f"{type(layer).__name__} is no convolution or dense layer"
    if quantization_mode(layer) is not None:
        return f"{layer.name} is quantized"
    if getattr(layer, "activation", None) not in (None, keras.activations.linear):
        return f"{layer.name} has an activation"
    return None


def channel_axis(layer: Any, ndim: int) -> int:
    """The axis of a layer's output that its kernel's outputs lie along.

    Args:
        layer: A layer that `reason_against` has nothing against.
        ndim: Rank of its output.
    """
    return 1 if getattr(layer, "data_format", None) == "channels_first" else ndim - 1


def folded(layer: Any, affine: Affine, input_shape: tuple[int | None, ...]) -> Any:
    """A layer that does what a layer and an affine map after it do.

    Args:
        layer: A layer that `reason_against` has nothing against.
        affine: What follows.
        input_shape: Of the layer.
    """
    name = _kernel_name(layer)
    assert name is not None
    kernel = _numbers(getattr(layer, name))
    scale = np.broadcast_to(affine.scale, _channels(layer, kernel))
    shift = np.broadcast_to(affine.shift, scale.shape)
    if layer.bias is not None:
        shift = shift + _numbers(layer.bias) * scale
    config = {k: v for k, v in layer.get_config().items() if k not in _LORA}
    with_bias = layer.bias is not None or bool(np.any(shift))
    made = type(layer).from_config({**config, "use_bias": with_bias})
    made.build(input_shape)
    getattr(made, name).assign(_scaled(layer, kernel, scale).astype(np.float32))
    if with_bias:
        made.bias.assign(shift.astype(np.float32))
    for other in {"depthwise_kernel", "pointwise_kernel"} - {name}:
        if hasattr(layer, other) and _is_separable(layer):
            getattr(made, other).assign(getattr(layer, other).value)
    return made


def fused_attention(layer: Any, input_shape: tuple[int | None, ...]) -> Any:
    """An attention whose three projections of one tensor are one.

    Args:
        layer: A `GroupQueryAttention`.
        input_shape: Of its query.
    """
    made = type(layer).from_config({**layer.get_config(), "fused_projections": True})
    made.build(input_shape)
    parts = [getattr(layer, f"{name}_projection") for name in ("query", "key", "value")]
    fused = made.fused_projection
    fused.kernel.assign(np.concatenate([_numbers(p.kernel) for p in parts], 1).astype(np.float32))
    if fused.bias is not None:
        fused.bias.assign(np.concatenate([_numbers(p.bias) for p in parts]).astype(np.float32))
    made.output_projection.kernel.assign(_numbers(layer.output_projection.kernel))
    if made.output_projection.bias is not None:
        made.output_projection.bias.assign(layer.output_projection.bias.value)
    for name in ("query_norm", "key_norm", "rope"):
        if getattr(layer, name) is not None:
            getattr(made, name).set_weights(getattr(layer, name).get_weights())
    return made


def reason_against_fusing(layer: Any) -> str | None:
    """Why the projections of an attention cannot be joined; `None` if they can.

    Args:
        layer: A `GroupQueryAttention`.
    """
    if layer.fused_projections:
        return "joined already"
    parts = [getattr(layer, f"{n}_projection") for n in ("query", "key", "value", "output")]
    if any(quantization_mode(part) is not None for part in parts):
        return f"{layer.name} is quantized"
    return None


def reason_against_scaling(attention: Any) -> str | None:
    """Why the last projection of an attention cannot take a gain; `None` if it can.

    Args:
        attention: A `GroupQueryAttention`.
    """
    last = attention.output_projection
    if quantization_mode(last) is not None:
        return f"{attention.name} is quantized"
    return f"{attention.name} is adapted" if getattr(last, "lora_enabled", False) else None


def scale_output(attention: Any, affine: Affine) -> None:
    """Take a gain after an attention into its last projection, in place.

    Args:
        attention: A `GroupQueryAttention`.
        affine: The gain.
    """
    last = attention.output_projection
    last.kernel.assign((_numbers(last.kernel) * affine.scale).astype(np.float32))
    if last.bias is not None:
        last.bias.assign((_numbers(last.bias) * affine.scale).astype(np.float32))


def _kernel_name(layer: Any) -> str | None:
    """The variable whose outputs are the layer's channels. Subclasses may compute otherwise."""
    layers = keras.layers
    if type(layer) in (layers.Dense, layers.Conv1D, layers.Conv2D, layers.Conv3D, *_TRANSPOSED):
        return "kernel"
    if type(layer) in (layers.DepthwiseConv1D, layers.DepthwiseConv2D):
        return "kernel"
    if _is_separable(layer):
        return "pointwise_kernel"
    return "kernel" if identifier(layer) == _DEPTHWISE else None


_TRANSPOSED: Final = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


def _is_separable(layer: Any) -> bool:
    return type(layer) in (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


def _is_depthwise(layer: Any) -> bool:
    depthwise = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
    return type(layer) in depthwise or identifier(layer) == _DEPTHWISE


def _channels(layer: Any, kernel: Array) -> tuple[int]:
    if _is_depthwise(layer):
        return (kernel.shape[-2] * kernel.shape[-1],)
    return (kernel.shape[-2 if type(layer) in _TRANSPOSED else -1],)


def _scaled(layer: Any, kernel: Array, scale: Array) -> Array:
    if _is_depthwise(layer):
        return kernel * scale.reshape(kernel.shape[-2:])
    return kernel * (scale[:, None] if type(layer) in _TRANSPOSED else scale)


def _numbers(variable: Any) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float64)
