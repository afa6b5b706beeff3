"""PowerMLP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Fraction,
    InitializerLike,
    Model,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    resolve,
)
from dl_techniques.layers import PowerMLPLayer
from dl_techniques.layers.arguments import require_integers
from dl_techniques.layers.parts import build_part, call_part, fresh_initializer, offset_seed


@component(
    "dl_techniques>PowerMLP",
    kind="model",
    tags=("tabular", "regression", "spline"),
    paper="arXiv:2412.13571",
    since="0.1",
)
class PowerMLP(Model):
    """PowerMLP: the functions of a Kolmogorov-Arnold network, computed by matrix products.

    x_{l+1} = max(0, x_l W_l + b_l)^k + silu(x_l) V_l for the hidden layers;
    y = x_L W_L + b_L

    Normalize the inputs: the power grows like |x|^k at each layer. The authors train with the
    norm of the gradients clipped at one: `keras.optimizers.Adam(clipnorm=1.0)`.

    Args:
        units: Number of outputs.
        hidden_units: Widths of the hidden layers; `()` for none.
        k: The power, an integer of at least 1.
        final_linear: Whether the last layer is linear, as in the authors' code, or one more layer
            of powers.
        output_activation: Activation of the outputs.
        dropout_rate: Rate of dropout behind each hidden layer.
        kernel_initializer: Initializer of all kernels.
        kernel_regularizer: Regularizer of all kernels.
        seed: Seed of dropout.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, ..., features)`; only the features must be known.

    Output shape:
        `(batch, ..., units)`.

    Raises:
        ValueError: If a number is out of range, or the features are unknown.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.power_mlp import PowerMLP
        >>> model = PowerMLP(1, hidden_units=(4,))
        >>> tuple(model(np.ones((3, 2), "float32")).shape), model.count_params()
        ((3, 1), 25)

    References:
        Qiu et al., "PowerMLP: An Efficient Version of KAN", arXiv:2412.13571.
    """

    def __init__(
        self,
        units: Count = 1,
        hidden_units: Sequence[int] = (32, 32),
        k: Count = 3,
        final_linear: bool = True,
        output_activation: ActivationLike | None = None,
        dropout_rate: Fraction = 0.0,
        kernel_initializer: InitializerLike = "glorot_uniform",
        kernel_regularizer: RegularizerLike | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for width in hidden_units:
            require_integers(hidden_units=width)
        self.units = units
        self.hidden_units = tuple(hidden_units)
        self.k = k
        self.final_linear = final_linear
        self.output_activation = output_activation
        self.dropout_rate = dropout_rate
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.seed = seed
        self.hidden = [
            PowerMLPLayer(width, k, **self._settings(f"hidden_{i}"))
            for i, width in enumerate(self.hidden_units)
        ]
        settings = self._settings("outputs")
        self.outputs_layer: Any = (
            keras.layers.Dense(units, **settings)
            if final_linear
            else PowerMLPLayer(units, k, **settings)
        )
        self.dropouts = [
            keras.layers.Dropout(dropout_rate, seed=offset_seed(seed, i), dtype=self.dtype_policy)
            for i in range(len(self.hidden))
        ]
        self.last = resolve(output_activation, kind="activation", dtype=self.dtype_policy)

    def build(self, input_shape: Shape) -> None:
        """Build each layer on the one before."""
        shape = tuple(input_shape)
        if shape[-1] is None:
            raise ValueError(f"The features must be known. Received: input_shape={shape}")
        for layer in (*self.hidden, self.outputs_layer):
            layer.build(shape)
            shape = (*shape[:-1], layer.units)
        build_part(self.last, shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Apply the layers in turn."""
        x = inputs
        for layer, dropout in zip(self.hidden, self.dropouts, strict=True):
            x = dropout(layer(x), training=training)
        return call_part(self.last, self.outputs_layer(x), training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape with `units` on the last axis."""
        return (*input_shape[:-1], self.units)

    def _settings(self, name: str) -> dict[str, Any]:
        return {
            "kernel_initializer": fresh_initializer(self.kernel_initializer),
            "kernel_regularizer": self.kernel_regularizer,
            "dtype": self.dtype_policy,
            "name": name,
        }

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default, and powers to the end with dropout."""
        yield Example(cls, {}, TensorSpec((2, 5)))
        config = {"units": 2, "hidden_units": (4,), "k": 2, "final_linear": False}
        config |= {"output_activation": "tanh", "dropout_rate": 0.5, "seed": 1}
        traits = frozenset({"stochastic", "permutation_equivariant"})
        yield Example(cls, config, TensorSpec((2, 3, 4)), traits=traits, name="powers")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Useless numbers, unknown features."""
        yield Rejection(cls, {"hidden_units": (4, 0)}, "hidden_units")
        yield Rejection(cls, {}, "input_shape", build=(2, None))
