"""Dense layer with ternary weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    InitializerLike,
    Layer,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    Variable,
    component,
    upcast,
)
from dl_techniques.layers.arguments import (
    require_one_of,
    require_shares,
)
from dl_techniques.layers.norm_choice import choose_norm
from dl_techniques.layers.parts import build_part, call_part, features_of
from dl_techniques.layers.quantized.packed_bit_linear import PackedBitLinear
from dl_techniques.layers.quantized.packing import pack_ternary
from dl_techniques.layers.quantized.quantization import (
    MEASURES,
    measured,
    quantized_tokens,
    require_activation_bits,
    rounded_weight,
    straight_through,
    weight_levels,
)

_BIT_SETTINGS = (
    "weight_bits",
    "activation_bits",
    "weight_measure",
    "activation_measure",
    "strategy",
    "lambda_",
    "epsilon",
)


@component(
    "dl_techniques>BitLinear",
    kind="layer",
    tags=("quantization", "dense"),
    paper="arXiv:2402.17764",
    since="0.1",
)
class BitLinear(Layer):
    """Dense layer of BitNet b1.58: weights -1, 0 or 1, inputs of 8 bits, trained as such.

    W_q = clip(round(W / m), -1, 1),  m = max(mean |W|, epsilon)
    x_q = clip(round(127 x / a), -128, 127),  a = max(max |x|, epsilon) for each token
    y = (x_q W_q) m a / 127 + bias

    Gradients pass straight through both roundings, to the weights W that the optimizer moves. The
    product is one of integers, in float32, where it is exact.

    The original dl_techniques adds the bias before the division by the scales, which shrinks it.
    The layer has no normalization of its own, as BitNet's published code has; see `norm`.

    Args:
        units: Number of outputs.
        use_bias: Whether to add a bias.
        weight_bits: 1.58 for ternary weights, or an integer b from 2 to 8 for weights from
            1 - 2^(b - 1) to 2^(b - 1) - 1, of which m is measured as 1.
        activation_bits: Number of bits of the inputs, from 2 to 8.
        weight_measure: m, `"absmean"`, `"absmedian"` or `"absmax"`.
        activation_measure: a, likewise.
        strategy: `"round_clamp"` to round weights to the nearest, or `"sample"` to round them up
            or down at random in training, so that their mean is kept.
        norm: Normalization of the input before it is rounded: `"rms"`, `"layer"`, or what
            `dl_techniques.core.resolve` accepts; `None` for the identity.
        lambda_: How much of the rounding is in effect, from 0 to 1, for a warm-up:
            x + lambda (x_q - x).
        epsilon: Smallest measure.
        bit_config: A mapping of `weight_bits`, `activation_bits`, `weight_measure`,
            `activation_measure`, `strategy`, `lambda_` and `epsilon`, which takes the place of
            these arguments.
        kernel_initializer: Initializer of W.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of W.
        bias_regularizer: Regularizer of the bias.
        seed: Seed of `"sample"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; the features must be known.

    Output shape:
        `(batch, ..., units)`.

    Raises:
        ValueError: If a number of bits, a measure, the strategy, `lambda_` or a key of
            `bit_config` is invalid, or the features are unknown.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import BitLinear
        >>> layer = BitLinear(8)
        >>> tuple(layer(np.ones((2, 5), "float32")).shape)
        (2, 8)
        >>> set(layer.quantized_kernel().ravel().tolist()) <= {-1, 0, 1}
        True

    References:
        Ma et al., "The Era of 1-bit LLMs: All Large Language Models are in 1.58 Bits",
        arXiv:2402.17764; Wang et al., "BitNet: Scaling 1-bit Transformers for Large Language
        Models", arXiv:2310.11453.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "finite_differences": "the gradients pass straight through the roundings, by design; a "
        "test compares them with the peer's"
    }

    def __init__(
        self,
        units: Count,
        use_bias: bool = True,
        weight_bits: float = 1.58,
        activation_bits: int = 8,
        weight_measure: str = "absmean",
        activation_measure: str = "absmax",
        strategy: str = "round_clamp",
        norm: Any = None,
        lambda_: float = 1.0,
        epsilon: float = 1e-5,
        bit_config: Mapping[str, Any] | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.use_bias = use_bias
        self.weight_bits = weight_bits
        self.activation_bits = activation_bits
        self.weight_measure = weight_measure
        self.activation_measure = activation_measure
        self.strategy = strategy
        self.lambda_ = lambda_
        self.epsilon = epsilon
        self.bit_config = None if bit_config is None else dict(bit_config)
        self._bits = {name: getattr(self, name) for name in _BIT_SETTINGS}
        unknown = set(self.bit_config or ()) - set(_BIT_SETTINGS)
        if unknown:
            raise ValueError(
                f"`bit_config` must have keys of {', '.join(_BIT_SETTINGS)}. "
                f"Received: bit_config with {sorted(unknown)}"
            )
        self._bits.update(self.bit_config or {})
        _require_bits(**self._bits)
        self.norm = norm
        self.norm_layer = choose_norm("none" if norm is None else norm, dtype=self.dtype_policy)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if self._samples else None

    @property
    def _samples(self) -> bool:
        return bool(self._bits["strategy"] == "sample")

    def build(self, input_shape: Shape) -> None:
        """Create W and the bias."""
        features = features_of(input_shape)
        build_part(self.norm_layer, input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            autocast=False,
        )
        self.bias: Variable | None = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                autocast=False,
            )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Round inputs and weights, multiply the integers, and scale back."""
        bits = self._bits
        x = upcast(call_part(self.norm_layer, inputs, training))
        levels, scale = quantized_tokens(
            x, bits["activation_bits"], bits["activation_measure"], bits["epsilon"]
        )
        z, measure = self._scaled_kernel(x.dtype)
        noise = None
        if self._samples and training:
            noise = keras.random.uniform(z.shape, dtype=z.dtype, seed=self.seed_generator)
        weights = rounded_weight(z, weight_levels(bits["weight_bits"]), noise)
        y = ops.matmul(
            straight_through(x * scale, levels, bits["lambda_"]),
            straight_through(z, weights, bits["lambda_"]),
        )
        y = y * (measure / scale)
        if self.bias is not None:
            y = y + ops.cast(self.bias, y.dtype)
        return ops.cast(y, self.compute_dtype)

    def _scaled_kernel(self, dtype: Any) -> tuple[Tensor, Tensor]:
        """Return W / m and m."""
        kernel = ops.cast(ops.convert_to_tensor(self.kernel), dtype)
        measure = measured(kernel, self._bits["weight_measure"])
        measure = ops.maximum(measure, self._bits["epsilon"])
        return kernel / measure, measure

    def quantized_kernel(self) -> Any:
        """Return the integers that the layer multiplies with, as an int8 array.

        Returns:
            `(features, units)`.

        Raises:
            ValueError: If the layer is not built.
        """
        if not self.built:
            raise ValueError(
                "`quantized_kernel` needs a layer that was built. Received: built=False"
            )
        z, _ = self._scaled_kernel("float32")
        levels = weight_levels(self._bits["weight_bits"])
        return ops.convert_to_numpy(rounded_weight(z, levels)).astype("int8")

    def pack(self) -> PackedBitLinear:
        """Make a layer for inference that stores its ternary weights in two bits each.

        It gives the same outputs. In a saved model it takes a sixteenth of the space.

        Returns:
            A layer that is built.

        Raises:
            ValueError: If the layer is not built, its weights are not ternary, or `lambda_` is
                below one.
        """
        bits = self._bits
        if bits["weight_bits"] != 1.58 or bits["lambda_"] != 1:
            raise ValueError(
                "`pack` needs `weight_bits=1.58` and `lambda_=1`. "
                f"Received: weight_bits={bits['weight_bits']}, lambda_={bits['lambda_']}"
            )
        kernel = self.quantized_kernel()
        norm = None
        if self.norm_layer is not None:
            norm = type(self.norm_layer).from_config(self.norm_layer.get_config())
        layer = PackedBitLinear(
            self.units,
            use_bias=self.use_bias,
            activation_bits=bits["activation_bits"],
            activation_measure=bits["activation_measure"],
            norm=norm,
            epsilon=bits["epsilon"],
            dtype=self.dtype_policy,
        )
        layer.build((None, len(kernel)))
        _, measure = self._scaled_kernel("float32")
        layer.packed.assign(pack_ternary(kernel))
        # By way of NumPy: JAX would share the buffers, and may give them up in training.
        layer.scale.assign(ops.convert_to_numpy(measure))
        if layer.bias is not None:
            layer.bias.assign(ops.convert_to_numpy(self.bias))
        if self.norm_layer is not None:
            layer.norm_layer.set_weights(self.norm_layer.get_weights())
        return layer

    def unpack(self, packed: PackedBitLinear) -> None:
        """Take the weights of a packed layer, to train on from them.

        Each weight becomes its ternary value times a common factor, chosen so that rounding gives
        the same integers and the same scale again.

        Args:
            packed: Answer of `pack`.

        Raises:
            ValueError: If the shapes, or the presence of a bias, differ.
        """
        kernel = packed.quantized_kernel()
        if not self.built:
            self.build((None, len(kernel)))
        if tuple(self.kernel.shape) != kernel.shape or self.use_bias != packed.use_bias:
            raise ValueError(
                f"`packed` must have weights of shape {tuple(self.kernel.shape)} and "
                f"use_bias={self.use_bias}. Received: packed with {kernel.shape} and "
                f"use_bias={packed.use_bias}"
            )
        share = 1.0
        if self._bits["weight_measure"] == "absmean":
            share = max(float(np.abs(kernel).mean()), 1e-12)
        scale = float(ops.convert_to_numpy(packed.scale))
        self.kernel.assign(kernel * (scale / share))
        if self.bias is not None:
            self.bias.assign(ops.convert_to_numpy(packed.bias))
        if self.norm_layer is not None:
            self.norm_layer.set_weights(packed.norm_layer.get_weights())

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The features become `units`."""
        return (*input_shape[:-1], self.units)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default; rounding at random after a normalization; four bits halfway in effect."""
        yield Example(cls, {"units": 3}, TensorSpec((4, 6)))
        sample = {"units": 4, "strategy": "sample", "norm": "rms", "use_bias": False, "seed": 1}
        traits = frozenset({"stochastic", "changes_in_training"})
        yield Example(cls, sample, TensorSpec((2, 3, 5)), traits=traits, name="sample")
        bits = {"weight_bits": 4, "lambda_": 0.5, "weight_measure": "absmax"}
        config = {"units": 3, "bit_config": bits}
        yield Example(cls, config, TensorSpec((4, 6)), name="four_bits")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid numbers of bits, measures, strategies and keys."""
        yield Rejection(cls, {"units": 2, "weight_bits": 1.5}, "weight_bits")
        yield Rejection(cls, {"units": 2, "activation_bits": 1}, "activation_bits")
        yield Rejection(cls, {"units": 2, "weight_measure": "mean"}, "weight_measure")
        yield Rejection(cls, {"units": 2, "strategy": "floor"}, "strategy")
        yield Rejection(cls, {"units": 2, "lambda_": 1.5}, "lambda_")
        yield Rejection(cls, {"units": 2, "epsilon": 0.0}, "epsilon")
        yield Rejection(cls, {"units": 2, "bit_config": {"bits": 2}}, "bit_config")
        yield Rejection(cls, {"units": 2}, "input_shape", build=(2, None))


def _require_bits(
    weight_bits: Any,
    activation_bits: Any,
    weight_measure: str,
    activation_measure: str,
    strategy: str,
    lambda_: Any,
    epsilon: Any,
) -> None:
    if weight_bits != 1.58 and weight_bits not in range(2, 9):
        raise ValueError(
            "`weight_bits` must be 1.58 or an integer from 2 to 8. "
            f"Received: weight_bits={weight_bits!r}"
        )
    require_activation_bits(activation_bits, activation_measure, epsilon)
    require_one_of(MEASURES, weight_measure=weight_measure)
    require_one_of(("round_clamp", "sample"), strategy=strategy)
    require_shares(lambda_=lambda_)
