"""A dense layer of complex numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Count, Example, Rejection, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.complex.complex_kernel import ComplexKernelLayer
from dl_techniques.layers.complex.complex_layer import Parts, part_shape
from dl_techniques.layers.parts import features_of


@component(
    "dl_techniques>ComplexDense",
    kind="layer",
    tags=("complex", "dense"),
    paper="arXiv:1705.09792",
    since="0.1",
)
class ComplexDense(ComplexKernelLayer):
    """Dense layer with complex weights, inputs and outputs.

    y = x K + b = (x_r K_r - x_i K_i + b_r) + i (x_r K_i + x_i K_r + b_i)

    The real and imaginary parts of the weights are real weights, because optimizers step wrong on
    complex ones. Both parts are computed by one product with the block matrix
    [[K_r, K_i], [-K_i, K_r]].

    Args:
        units: Number of outputs.
        use_bias: Whether to add b.
        kernel_initializer: `"complex_glorot"` or `"complex_he"`: the phase is uniform, the
            magnitude has a Rayleigh distribution with E|K|^2 = 2 / (fan_in + fan_out) or
            2 / fan_in. Or a Keras initializer for each part.
        **kwargs: Settings of `ComplexKernelLayer` (`bias_initializer`, `kernel_regularizer`,
            `bias_regularizer`, `kernel_constraint`, `bias_constraint`, `seed`); arguments of
            `keras.layers.Layer`.

    Input shape:
        A complex tensor `(batch, ..., features)`, or a pair of real ones, the real and the
        imaginary part. Only the features must be known.

    Output shape:
        `(batch, ..., units)`, a complex tensor or a pair as the input. A complex output has
        float32 parts under half precision, a pair the compute dtype.

    Raises:
        ValueError: If `units` is not positive, the features are unknown, the parts have different
            shapes, or the input is a real tensor.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import ComplexDense
        >>> layer = ComplexDense(1, use_bias=False)
        >>> layer.build((None, 1))
        >>> layer.set_weights([np.array([[0.0]]), np.array([[1.0]])])  # K = i
        >>> ops.convert_to_numpy(layer(np.array([[2 + 3j]], "complex64"))).tolist()
        [[(-3+2j)]]

    References:
        Trabelsi et al., "Deep Complex Networks", arXiv:1705.09792.
    """

    def __init__(self, units: Count, use_bias: bool = True, **kwargs: Any) -> None:
        super().__init__(use_bias, **kwargs)
        self.units = units
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create the parts of the kernel `(features, units)` and of the bias `(units,)`."""
        self.build_kernel((features_of(part_shape(input_shape)), self.units))

    def call_parts(self, real: Tensor, imaginary: Tensor) -> Parts:
        """Multiply by the block matrix."""
        y = ops.matmul(ops.concatenate([real, imaginary], axis=-1), self.block_kernel())
        # Products of float64 are float32 in Keras on PyTorch.
        y = ops.cast(y, self.compute_dtype)
        return self.add_bias(y[..., : self.units], y[..., self.units :])

    def output_shape_of(self, input_shape: Shape) -> Shape:
        """Return the shape of a part with `units` on the last axis."""
        return (*input_shape[:-1], self.units)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Pairs of vectors, and of sequences without bias."""
        vectors, tokens = TensorSpec((2, 5)), TensorSpec((2, 3, 4))
        yield Example(cls, {"units": 3}, [vectors, vectors])
        config = {"units": 2, "use_bias": False, "kernel_initializer": "complex_he", "seed": 1}
        yield Example(cls, config, [tokens, tokens], name="tokens")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No units, no seed, unknown features, parts of two shapes."""
        yield Rejection(cls, {"units": 2, "seed": -1}, "seed")
        yield Rejection(cls, {"units": 2}, "input_shape", build=(2, None))
        yield Rejection(cls, {"units": 2}, "input_shape", build=[(2, 3), (2, 4)])
        yield Rejection(cls, {"units": 2}, "input_shape", build=[(2, 3), (2, 3), (2, 3)])
