"""Radial basis functions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from dl_techniques.core import (
    ConstraintLike,
    Count,
    Example,
    InitializerLike,
    Layer,
    PositiveNumber,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    is_number,
    upcast,
)
from dl_techniques.layers.parts import features_of
from dl_techniques.layers.prototype.distances import squared_distances


@component(
    "dl_techniques>RBF",
    kind="layer",
    tags=("prototype", "kernel"),
    since="0.1",
)
class RBF(Layer):
    """Gaussian radial basis functions: each unit responds around a centre of its own.

    phi_j(x) = exp(-gamma_j |x - c_j|^2),  gamma_j = softplus(r_j) > 0

    The optional repulsion adds the loss s mean_{i<j} max(margin - |c_i - c_j|, 0)^2, which keeps
    centres apart. For a good start, pass samples of the data as centres: `initializer` may be any
    function of shape and dtype.

    Args:
        units: Number of centres.
        gamma_init: gamma at the start.
        trainable_gamma: Whether gamma is learned.
        initializer: Initializer of the centres, `(units, features)`.
        repulsion_strength: s, the factor of the repulsion.
        repulsion_margin: Distance beyond which two centres do not repel each other.
        center_regularizer: Regularizer of the centres.
        center_constraint: Constraint on the centres.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; the features must be known.

    Output shape:
        `(batch, ..., units)`, numbers from 0 to 1.

    Raises:
        ValueError: If a number is not positive, the repulsion is negative, or the features are
            unknown.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import RBF
        >>> layer = RBF(1, initializer="zeros")
        >>> y = layer(ops.array([[0.0], [1.0]]))
        >>> ops.convert_to_numpy(y).astype(float).ravel().round(4).tolist()
        [1.0, 0.3679]

    References:
        Broomhead and Lowe, "Multivariable Functional Interpolation and Adaptive Networks",
        Complex Systems 2, 1988.
    """

    def __init__(
        self,
        units: Count,
        gamma_init: PositiveNumber = 1.0,
        trainable_gamma: bool = True,
        initializer: InitializerLike = "uniform",
        repulsion_strength: float = 0.0,
        repulsion_margin: PositiveNumber = 1.0,
        center_regularizer: RegularizerLike | None = None,
        center_constraint: ConstraintLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not is_number(repulsion_strength) or repulsion_strength < 0:
            raise ValueError(
                "`repulsion_strength` must not be negative. "
                f"Received: repulsion_strength={repulsion_strength!r}"
            )
        self.units = units
        self.gamma_init = gamma_init
        self.trainable_gamma = trainable_gamma
        self.initializer = keras.initializers.get(initializer)
        self.repulsion_strength = repulsion_strength
        self.repulsion_margin = repulsion_margin
        self.center_regularizer = keras.regularizers.get(center_regularizer)
        self.center_constraint = keras.constraints.get(center_constraint)

    def build(self, input_shape: Shape) -> None:
        """Create the centres and the logarithmic widths."""
        features = features_of(input_shape)
        self.centers = self.add_weight(
            name="centers",
            shape=(self.units, features),
            initializer=self.initializer,
            regularizer=self.center_regularizer,
            constraint=self.center_constraint,
            autocast=False,
        )
        # The inverse of softplus, without overflow for a large gamma.
        raw = self.gamma_init + math.log(-math.expm1(-self.gamma_init))
        self.gamma_raw = self.add_weight(
            name="gamma_raw",
            shape=(self.units,),
            initializer=keras.initializers.Constant(raw),
            trainable=self.trainable_gamma,
            autocast=False,
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Respond by distance, in float32."""
        x = upcast(inputs)
        centers = ops.cast(ops.convert_to_tensor(self.centers), x.dtype)
        if self.repulsion_strength and self.units > 1:
            self.add_loss(self._repulsion(centers))
        gamma = ops.softplus(ops.cast(ops.convert_to_tensor(self.gamma_raw), x.dtype))
        y = ops.exp(-gamma * squared_distances(x, centers))
        return ops.cast(y, self.compute_dtype)

    def _repulsion(self, centers: Tensor) -> Tensor:
        pairs = np.triu(np.ones((self.units, self.units), "float32"), 1)
        # The root of zero has no gradient.
        distances = ops.sqrt(squared_distances(centers, centers) + 1e-12)
        overlap = ops.square(ops.relu(self.repulsion_margin - distances))
        weights = ops.convert_to_tensor(pairs / pairs.sum(), dtype=overlap.dtype)
        return self.repulsion_strength * ops.sum(weights * overlap)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The features become `units`."""
        return (*input_shape[:-1], self.units)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default, and fixed widths with repulsion on sequences."""
        yield Example(cls, {"units": 3}, TensorSpec((4, 2)))
        config: dict[str, Any] = {"units": 4, "gamma_init": 0.3, "trainable_gamma": False}
        config |= {"repulsion_strength": 0.5, "initializer": "glorot_uniform"}
        yield Example(cls, config, TensorSpec((2, 3, 2)), name="repulsion")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid numbers."""
        yield Rejection(cls, {"units": 2, "repulsion_strength": -1.0}, "repulsion_strength")
        yield Rejection(cls, {"units": 2}, "input_shape", build=(2, None))
