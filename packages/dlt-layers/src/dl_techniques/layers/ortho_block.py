"""A dense layer with orthonormal weights and mean-centred features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from dl_techniques.constraints.value_range_constraint import ValueRangeConstraint
from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Fraction,
    InitializerLike,
    Layer,
    NonNegativeNumber,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    resolve,
    upcast,
)
from dl_techniques.initializers.orthonormal_initializer import OrthonormalInitializer
from dl_techniques.layers.parts import build_part, call_part, features_of
from dl_techniques.regularizers.soft_orthonormal import SoftOrthonormal


@component(
    "dl_techniques>OrthoBlock",
    kind="layer",
    tags=("dense", "orthogonality"),
    paper="arXiv:1810.09102",
    since="0.1",
)
class OrthoBlock(Layer):
    """Dense layer with nearly orthonormal weights, mean-centred and gated channel by channel.

    z = x W, c = z - mean_j z_j, y = activation(s * c + b)

    W starts with orthonormal columns (rows, if there are more units than features) and is kept
    near by the penalty `SoftOrthonormal`; s, one gate for each unit, stays within [0, 1]. The
    mean is over the units, as in layer normalization, but the scale is left alone: for a square
    orthonormal W, ||c||^2 = ||x||^2 - units mean(z)^2.

    The block is this project's own; only the penalty is from the paper. Since centring is
    linear, the whole block can be folded into one dense layer after training.

    Args:
        units: Number of output features.
        activation: Name, function, layer or configuration; `None` for the identity.
        ortho_reg_factor: Weight of the orthonormality penalty.
        scale_initial_value: Where the gates s start, within [0, 1].
        use_bias: Whether to add b after the gates.
        kernel_initializer: Initializer of W; `None` for `OrthonormalInitializer`, which here gives
            orthonormal columns if there are more features than units, else rows.
        bias_initializer: Initializer of b.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; only the features must be known.

    Output shape:
        `(batch, ..., units)`.

    Raises:
        ValueError: If `units` is not positive, `ortho_reg_factor` negative, `scale_initial_value`
            outside [0, 1], or the features are unknown.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import OrthoBlock
        >>> y = ops.convert_to_numpy(OrthoBlock(4)(np.arange(12.0).reshape(2, 6)))
        >>> y.shape, abs(y.mean(axis=-1)).round(4).tolist()
        ((2, 4), [0.0, 0.0])

    References:
        Bansal, Chen and Wang, "Can We Gain More from Orthogonality Regularizations in Training
        Deep CNNs?", arXiv:1810.09102.
    """

    def __init__(
        self,
        units: Count,
        activation: ActivationLike | None = None,
        ortho_reg_factor: NonNegativeNumber = 0.01,
        scale_initial_value: Fraction = 0.5,
        use_bias: bool = False,
        kernel_initializer: InitializerLike | None = None,
        bias_initializer: InitializerLike = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.activation = activation
        self.activation_layer = resolve(activation, kind="activation", dtype=self.dtype_policy)
        self.ortho_reg_factor = ortho_reg_factor
        self.scale_initial_value = scale_initial_value
        self.use_bias = use_bias
        self.kernel_initializer = (
            OrthonormalInitializer()
            if kernel_initializer is None
            else keras.initializers.get(kernel_initializer)
        )
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create the kernel W `(features, units)`, the scale s and the bias b `(units,)`."""
        features = features_of(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features, self.units),
            initializer=self._initial_kernel,
            regularizer=SoftOrthonormal(self.ortho_reg_factor, mode="auto")
            if self.ortho_reg_factor
            else None,
        )
        self.scale = self.add_weight(
            name="scale",
            shape=(self.units,),
            initializer=keras.initializers.Constant(self.scale_initial_value),
            constraint=ValueRangeConstraint(0.0, 1.0),
            autocast=False,
        )
        self.bias = (
            self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                autocast=False,
            )
            if self.use_bias
            else None
        )
        build_part(self.activation_layer, self.compute_output_shape(input_shape))

    def call(self, inputs: Tensor) -> Tensor:
        """Project, centre, gate, activate."""
        z = upcast(ops.matmul(inputs, self.kernel))
        c = z - ops.mean(z, axis=-1, keepdims=True)
        y = c * ops.cast(self.scale, c.dtype)
        if self.bias is not None:
            y = y + ops.cast(self.bias, y.dtype)
        return call_part(self.activation_layer, ops.cast(y, self.compute_dtype))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape with `units` on the last axis."""
        return (*input_shape[:-1], self.units)

    def _initial_kernel(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        features, units = shape
        if isinstance(self.kernel_initializer, OrthonormalInitializer) and features > units:
            return ops.transpose(self.kernel_initializer((units, features), dtype))
        return self.kernel_initializer(shape, dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Fewer units than features, and more of them."""
        yield Example(cls, {"units": 3}, TensorSpec((2, 5)))
        yield Example(
            cls,
            {"units": 6, "activation": "gelu", "use_bias": True, "ortho_reg_factor": 0.0},
            TensorSpec((2, 3, 4)),
            traits=frozenset({"permutation_equivariant"}),
            name="wide",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless sizes and weights, an unknown activation, unknown features."""
        yield Rejection(cls, {"units": 3, "activation": "no such function"}, "activation")
        yield Rejection(cls, {"units": 3}, "input_shape", build=(2, None))
