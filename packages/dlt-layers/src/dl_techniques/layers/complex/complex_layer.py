"""Base of layers of complex numbers."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dl_techniques.core import Layer, Shape, Tensor, upcast
from dl_techniques.layers.parts import is_list_of_shapes

# Keras has it from 3.10 on.
_view_as_complex = getattr(ops, "view_as_complex", None)

Parts = tuple[Tensor, Tensor]


class ComplexLayer(Layer):
    """A layer that takes a complex tensor, or its real and imaginary parts, and returns the same.

    A subclass defines `call_parts` and `output_shape_of`.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def call(self, inputs: Any) -> Any:
        """Compute with the parts in the compute dtype."""
        if isinstance(inputs, list | tuple):
            real, imaginary = inputs
            return self.call_parts(real, imaginary)
        if "complex" not in keras.backend.standardize_dtype(inputs.dtype):
            raise ValueError(
                "`inputs` must be a complex tensor, or a pair of its real and imaginary parts. "
                f"Received: inputs of dtype {inputs.dtype}"
            )
        parts = (
            ops.cast(part, self.compute_dtype) for part in (ops.real(inputs), ops.imag(inputs))
        )
        return _joined(*self.call_parts(*parts))

    def call_parts(self, real: Tensor, imaginary: Tensor) -> Parts:
        """Return the parts of the output.

        Args:
            real: Real part of the input.
            imaginary: Imaginary part.
        """
        raise NotImplementedError

    def output_shape_of(self, input_shape: Shape) -> Shape:
        """Return the shape of either part of the output.

        Args:
            input_shape: Shape of either part of the input.
        """
        return input_shape

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return one shape for a complex tensor, two for a pair."""
        if not is_list_of_shapes(input_shape):
            return self.output_shape_of(input_shape)
        shape = self.output_shape_of(part_shape(input_shape))
        return (shape, shape)

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return symbols: a complex one for a complex tensor, two real ones for a pair."""
        if isinstance(inputs, list | tuple):
            shape = self.output_shape_of(part_shape([x.shape for x in inputs]))
            return tuple(keras.KerasTensor(shape, dtype=self.compute_dtype) for _ in range(2))
        dtype = "complex128" if self.compute_dtype == "float64" else "complex64"
        return keras.KerasTensor(self.output_shape_of(inputs.shape), dtype=dtype)


def part_shape(input_shape: Any) -> Shape:
    """Return the shape that both parts of a complex tensor have.

    Args:
        input_shape: One shape, or those of the real and the imaginary part.

    Raises:
        ValueError: If there are not two, or they differ.
    """
    if not is_list_of_shapes(input_shape):
        return tuple(input_shape)
    shapes = [tuple(shape) for shape in input_shape]
    if len(shapes) != 2 or shapes[0] != shapes[1]:
        raise ValueError(
            "The real and imaginary parts must be two tensors of one shape. "
            f"Received: input_shape={input_shape}"
        )
    return shapes[0]


def _joined(real: Tensor, imaginary: Tensor) -> Tensor:
    """Return the complex tensor; backends have no complex half precision."""
    real, imaginary = upcast(real), upcast(imaginary)
    if _view_as_complex is not None:
        return _view_as_complex(ops.stack([real, imaginary], axis=-1))
    dtype = "complex128" if "64" in keras.backend.standardize_dtype(real.dtype) else "complex64"
    return ops.cast(real, dtype) + ops.cast(imaginary, dtype) * 1j
