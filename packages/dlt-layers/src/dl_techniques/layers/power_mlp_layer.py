"""The layer of PowerMLP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Count,
    Example,
    InitializerLike,
    Layer,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.activations.relu_k import ReLUK
from dl_techniques.layers.parts import features_of, fresh_initializer


@component(
    "dl_techniques>PowerMLPLayer",
    kind="layer",
    tags=("dense", "spline"),
    paper="arXiv:2412.13571",
    since="0.1",
)
class PowerMLPLayer(Layer):
    """Layer of PowerMLP: powers of rectified features plus a smooth branch.

    y = max(0, x W + b)^k + silu(x) V

    It represents the same functions as a layer of a Kolmogorov-Arnold network with splines of
    degree k, at the price of two products. The power grows like |x|^k: keep the inputs
    normalized. In the paper's networks the last layer is a plain `keras.layers.Dense`.

    Args:
        units: Number of outputs.
        k: The power, an integer of at least 1.
        use_bias: Whether to add b.
        kernel_initializer: Initializer of W and V.
        bias_initializer: Initializer of b.
        kernel_regularizer: Regularizer of W and V.
        bias_regularizer: Regularizer of b.
        kernel_constraint: Constraint on W and V.
        bias_constraint: Constraint on b.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; only the features must be known.

    Output shape:
        `(batch, ..., units)`.

    Raises:
        ValueError: If `units` or `k` is not a positive integer, or the features are unknown.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import PowerMLPLayer
        >>> layer = PowerMLPLayer(1, k=2)
        >>> layer.build((None, 1))
        >>> layer.set_weights([np.array([[2.0]]), np.array([1.0]), np.array([[0.0]])])
        >>> ops.convert_to_numpy(layer(np.array([[1.0], [-1.0]]))).tolist()
        [[9.0], [0.0]]

    References:
        Qiu et al., "PowerMLP: An Efficient Version of KAN", arXiv:2412.13571.
    """

    def __init__(
        self,
        units: Count,
        k: Count = 3,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.k = k
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.power = ReLUK(k, dtype=self.dtype_policy)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Create W `(features, units)`, b `(units,)` and V `(features, units)`."""
        shape = (features_of(input_shape), self.units)
        self.kernel = self._add_kernel("kernel", shape)
        self.bias = (
            self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
            if self.use_bias
            else None
        )
        self.basis_kernel = self._add_kernel("basis_kernel", shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Add the two branches."""
        z = ops.matmul(inputs, self.kernel)
        if self.bias is not None:
            z = z + self.bias
        return self.power(z) + ops.matmul(ops.silu(inputs), self.basis_kernel)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape with `units` on the last axis."""
        return (*input_shape[:-1], self.units)

    def _add_kernel(self, name: str, shape: tuple[int, int]) -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=fresh_initializer(self.kernel_initializer),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The paper's power, and the square without bias."""
        # Of so many samples one passes the kink of each unit, whatever the first weights.
        yield Example(cls, {"units": 3}, TensorSpec((8, 5)))
        config = {"units": 6, "k": 2, "use_bias": False}
        traits = frozenset({"permutation_equivariant"})
        yield Example(cls, config, TensorSpec((2, 3, 4)), traits=traits, name="square")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No units, a power that is not an integer, unknown features."""
        yield Rejection(cls, {"units": 3}, "input_shape", build=(2, None))
