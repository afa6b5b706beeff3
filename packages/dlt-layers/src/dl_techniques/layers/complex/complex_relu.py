"""Rectifiers of complex numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Example,
    InitializerLike,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.complex.complex_layer import ComplexLayer, Parts, part_shape
from dl_techniques.layers.parts import features_of


@component(
    "dl_techniques>ComplexReLU",
    kind="layer",
    tags=("complex", "activation"),
    paper="arXiv:1705.09792",
    since="0.1",
)
class ComplexReLU(ComplexLayer):
    """Rectifier of complex numbers, by parts, by magnitude or by quadrant.

    | mode | y |
    |---|---|
    | `"crelu"` | relu(z_r) + i relu(z_i) |
    | `"modrelu"` | relu(|z| + b) z / |z| |
    | `"zrelu"` | z if z_r > 0 and z_i > 0, else 0 |

    modReLU keeps the phase; its b, one number for each channel, is learned: where b is negative,
    numbers within the radius |b| become 0. With the initial b = 0 it is the identity. Its |z| is
    sqrt(|z|^2 + epsilon), so that gradients at 0 are finite.

    Args:
        mode: As above.
        bias_initializer: Initializer of b.
        bias_regularizer: Regularizer of b.
        bias_constraint: Constraint on b.
        epsilon: Added to |z|^2 under the root.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        A complex tensor `(batch, ..., channels)`, or a pair of real ones, the real and the
        imaginary part. The channels must be known for `"modrelu"`.

    Output shape:
        The input's, a complex tensor or a pair as the input. A complex output has float32 parts
        under half precision, a pair the compute dtype.

    Raises:
        ValueError: If `mode` is unknown, `epsilon` not positive, the parts have different shapes,
            or the input is a real tensor.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import ComplexReLU
        >>> z = np.array([[1 + 2j, 1 - 2j, -1 - 2j]], "complex64")
        >>> ops.convert_to_numpy(ComplexReLU()(z)).tolist()
        [[(1+2j), (1+0j), 0j]]

    References:
        Trabelsi et al., "Deep Complex Networks", arXiv:1705.09792 (CReLU); Arjovsky, Shah and
        Bengio, "Unitary Evolution Recurrent Neural Networks", arXiv:1511.06464 (modReLU);
        Guberman, "On Complex Valued Convolutional Neural Networks", arXiv:1602.09046 (zReLU).
    """

    def __init__(
        self,
        mode: Literal["crelu", "modrelu", "zrelu"] = "crelu",
        bias_initializer: InitializerLike = "zeros",
        bias_regularizer: RegularizerLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        epsilon: PositiveNumber = 1e-12,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mode = mode
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create b `(channels,)` for modReLU."""
        shape = part_shape(input_shape)
        self.bias = (
            self.add_weight(
                name="bias",
                shape=(features_of(shape),),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                autocast=False,
            )
            if self.mode == "modrelu"
            else None
        )

    def call_parts(self, real: Tensor, imaginary: Tensor) -> Parts:
        """Rectify."""
        if self.mode == "crelu":
            return ops.relu(real), ops.relu(imaginary)
        if self.mode == "zrelu":
            stops = ops.logical_or(real <= 0, imaginary <= 0)  # false for NaN, which passes
            return tuple(ops.where(stops, ops.zeros_like(z), z) for z in (real, imaginary))
        parts = upcast(real), upcast(imaginary)
        size = ops.sqrt(sum(ops.square(part) for part in parts) + self.epsilon)
        gain = ops.relu(size + ops.cast(self.bias, size.dtype)) / size
        return tuple(ops.cast(part * gain, self.compute_dtype) for part in parts)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Each mode on pairs."""
        pair = [TensorSpec((2, 3, 4)), TensorSpec((2, 3, 4))]
        yield Example(cls, {}, pair)
        bias = {"bias_initializer": keras.initializers.Constant(-0.5)}
        yield Example(cls, {"mode": "modrelu", **bias}, pair, name="modrelu")
        yield Example(cls, {"mode": "zrelu"}, pair, name="zrelu")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """An unknown mode, a useless epsilon, unknown channels."""
        yield Rejection(cls, {"mode": "modrelu"}, "input_shape", build=(2, None))
