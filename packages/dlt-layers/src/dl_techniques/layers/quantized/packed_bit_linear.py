"""Dense layer for inference that stores ternary weights in two bits each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Layer,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    Variable,
    component,
    upcast,
)
from dl_techniques.layers.norm_choice import choose_norm
from dl_techniques.layers.parts import build_part, call_part, features_of
from dl_techniques.layers.quantized.packing import unpack_ternary
from dl_techniques.layers.quantized.quantization import (
    quantized_tokens,
    require_activation_bits,
)


@component(
    "dl_techniques>PackedBitLinear",
    kind="layer",
    tags=("quantization", "dense", "inference"),
    paper="arXiv:2402.17764",
    since="0.1",
)
class PackedBitLinear(Layer):
    """Trained `BitLinear` whose ternary weights take two bits each; `BitLinear.pack` makes it.

    y = (x_q W_q) m a / 127 + bias,  W_q from four weights in each byte

    The layer unpacks its weights in each call: it saves space, not time. It has no trainable
    weights. A new layer has zero weights until it is loaded.

    Args:
        units: Number of outputs.
        use_bias: Whether to add a bias.
        activation_bits: Number of bits of the inputs, from 2 to 8.
        activation_measure: a, `"absmax"`, `"absmean"` or `"absmedian"` for each token.
        norm: Normalization of the input; see `BitLinear`.
        epsilon: Smallest measure.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; the features must be known.

    Output shape:
        `(batch, ..., units)`.

    Raises:
        ValueError: If an argument is invalid, or the features are unknown.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import BitLinear
        >>> layer = BitLinear(16)
        >>> x = ops.ones((1, 64))
        >>> y, packed = layer(x), layer.pack()
        >>> tuple(packed.packed.shape), bool(ops.max(ops.abs(packed(x) - y)) < 1e-5)
        ((16, 16), True)

    References:
        Ma et al., "The Era of 1-bit LLMs: All Large Language Models are in 1.58 Bits",
        arXiv:2402.17764.
    """

    def __init__(
        self,
        units: Count,
        use_bias: bool = True,
        activation_bits: int = 8,
        activation_measure: str = "absmax",
        norm: Any = None,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_activation_bits(activation_bits, activation_measure, epsilon)
        self.units = units
        self.use_bias = use_bias
        self.activation_bits = activation_bits
        self.activation_measure = activation_measure
        self.norm = norm
        self.norm_layer = choose_norm("none" if norm is None else norm, dtype=self.dtype_policy)
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        """Create the bytes, one scale and the bias."""
        self._features = features_of(input_shape)
        build_part(self.norm_layer, input_shape)
        self.packed = self._constant("packed", (-(-self._features // 4), self.units), "uint8")
        self.scale = self._constant("scale", (), None)
        self.bias: Variable | None = None
        if self.use_bias:
            self.bias = self._constant("bias", (self.units,), None)
        if self.norm_layer is not None:
            self.norm_layer.trainable = False

    def _constant(self, name: str, shape: tuple[int, ...], dtype: str | None) -> Variable:
        # 85 packs four zeros.
        value = _zero_weights if dtype == "uint8" else "zeros"
        weight: Variable = self.add_weight(
            name=name, shape=shape, initializer=value, dtype=dtype, trainable=False, autocast=False
        )
        return weight

    def call(self, inputs: Tensor) -> Tensor:
        """Unpack the weights, multiply the integers, and scale back."""
        x = upcast(call_part(self.norm_layer, inputs))
        levels, scale = quantized_tokens(
            x, self.activation_bits, self.activation_measure, self.epsilon
        )
        packed = ops.cast(ops.convert_to_tensor(self.packed), "int32")
        digits = [packed // place % 4 for place in (1, 4, 16, 64)]
        kernel = ops.reshape(ops.stack(digits, axis=1), (4 * packed.shape[0], self.units))
        kernel = ops.cast(kernel[: self._features] - 1, x.dtype)
        y = ops.matmul(levels, kernel) * (ops.cast(self.scale, x.dtype) / scale)
        if self.bias is not None:
            y = y + ops.cast(self.bias, y.dtype)
        return ops.cast(y, self.compute_dtype)

    def quantized_kernel(self) -> Any:
        """Return the ternary weights as an int8 array, `(features, units)`.

        Raises:
            ValueError: If the layer is not built.
        """
        if not self.built:
            raise ValueError(
                "`quantized_kernel` needs a layer that was built. Received: built=False"
            )
        return unpack_ternary(ops.convert_to_numpy(self.packed), self._features)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The features become `units`."""
        return (*input_shape[:-1], self.units)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default, and one with a normalization."""
        traits = frozenset({"not_differentiable"})
        yield Example(cls, {"units": 3}, TensorSpec((4, 6)), traits=traits)
        config = {"units": 2, "use_bias": False, "norm": "rms", "activation_bits": 4}
        yield Example(cls, config, TensorSpec((2, 3, 5)), traits=traits, name="normalized")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid numbers of units and bits."""
        yield Rejection(cls, {"units": 2, "activation_bits": 9}, "activation_bits")
        yield Rejection(cls, {"units": 2, "activation_measure": "max"}, "activation_measure")
        yield Rejection(cls, {"units": 2, "epsilon": -1.0}, "epsilon")
        yield Rejection(cls, {"units": 2}, "input_shape", build=(2, None))


def _zero_weights(shape: Any, dtype: Any = None) -> Tensor:
    return ops.full(shape, 85, dtype=dtype)
