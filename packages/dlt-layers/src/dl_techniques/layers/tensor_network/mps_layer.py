"""Linear map on the tensor product of features, as a matrix product state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Layer,
    PositiveNumber,
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
    require_integers,
    require_one_of,
)
from dl_techniques.layers.tensor_network.contraction import mps_contract


@component(
    "dl_techniques>MPSLayer",
    kind="layer",
    tags=("tensor network", "dense"),
    paper="arXiv:1605.05775",
    since="0.1",
)
class MPSLayer(Layer):
    """Matrix product state: a linear map on products of all inputs, with few weights.

    M_n = sum_s phi_s(x_n) A_{n,s},  y_l = e_1^T M_1 ... M_m C_l M_{m+1} ... M_N e_1 + bias_l

    Each input becomes d features: phi(x) = (1 - x, x), or (cos, sin)(pi x / 2). The map is linear
    in each input's features, and has N d D^2 weights in place of d^N.

    The matrices start near the identity, so that their product neither vanishes nor grows. The
    trigonometric features are divided by cos + sin, because without it the product of 784
    matrices would begin at e^186 and overflow.

    Args:
        output_dim: Number of outputs L.
        bond_dim: Size D of the matrices, the bond dimension.
        feature_map: `"linear"`, `"trig"`, or a function of `(batch, N)` that returns
            `(batch, N, d)`; register it with Keras to save the layer.
        init_std: Standard deviation of A around the identity.
        use_bias: Whether to add a bias.
        contraction: `"scan"` or `"tree"`; see `mps_contract`.
        output_position: m, how many inputs stand before C; `"center"` for N // 2.
        core_regularizer: Regularizer of A, `(N, d, D, D)`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, N)`, numbers from 0 to 1.

    Output shape:
        `(batch, L)`.

    Raises:
        ValueError: If a number is not positive, a word is unknown, N is unknown, or
            `output_position` exceeds it.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import MPSLayer
        >>> tuple(MPSLayer(3, bond_dim=4)(keras.ops.ones((2, 9))).shape)
        (2, 3)

    References:
        Stoudenmire and Schwab, "Supervised Learning with Quantum-Inspired Tensor Networks",
        arXiv:1605.05775.
    """

    def __init__(
        self,
        output_dim: Count,
        bond_dim: Count,
        feature_map: Any = "linear",
        init_std: PositiveNumber = 1e-3,
        use_bias: bool = True,
        contraction: Literal["scan", "tree"] = "scan",
        output_position: int | str = "center",
        core_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(feature_map):
            require_one_of(("linear", "trig"), feature_map=feature_map)
        if output_position != "center":
            require_integers(0, output_position=output_position)
        self.output_dim = output_dim
        self.bond_dim = bond_dim
        self.feature_map = feature_map
        self.init_std = init_std
        self.use_bias = use_bias
        self.contraction = contraction
        self.output_position = output_position
        self.core_regularizer = keras.regularizers.get(core_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Create A near the identity, C and the bias."""
        if len(input_shape) != 2 or input_shape[1] is None:
            raise ValueError(
                "The input must be (batch, inputs) with a known number of inputs. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        sites = input_shape[1]
        chosen = self.output_position
        position = sites // 2 if isinstance(chosen, str) else chosen
        if position > sites:
            raise ValueError(
                f"`output_position` must not exceed the {sites} inputs. "
                f"Received: output_position={position}"
            )
        self._position = position
        local = 2
        if callable(self.feature_map):
            local = self.feature_map(ops.zeros((1, sites))).shape[-1]
        bond = self.bond_dim
        self.cores = self.add_weight(
            name="cores",
            shape=(sites, local, bond, bond),
            initializer=self._near_identity,
            regularizer=self.core_regularizer,
        )
        self.output_core = self.add_weight(
            name="output_core",
            shape=(self.output_dim, bond, bond),
            initializer=keras.initializers.RandomNormal(stddev=1 / math.sqrt(bond)),
        )
        self.bias: Variable | None = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.output_dim,), initializer="zeros")

    def _near_identity(self, shape: Any, dtype: Any = None) -> Tensor:
        noise = keras.initializers.RandomNormal(stddev=self.init_std)(shape, dtype=dtype)
        return noise + ops.eye(self.bond_dim, dtype=dtype)

    def call(self, inputs: Tensor) -> Tensor:
        """Contract the state with the features of the inputs, in float32."""
        x = upcast(inputs)
        features = self._features(x)
        cores, output_core = (
            ops.cast(ops.convert_to_tensor(weight), x.dtype)
            for weight in (self.cores, self.output_core)
        )
        y = mps_contract(features, cores, output_core, self._position, self.contraction)
        if self.bias is not None:
            y = y + ops.cast(self.bias, y.dtype)
        return ops.cast(y, self.compute_dtype)

    def _features(self, x: Tensor) -> Tensor:
        if callable(self.feature_map):
            return ops.cast(self.feature_map(x), x.dtype)
        if self.feature_map == "linear":
            return ops.stack([1.0 - x, x], axis=-1)
        angle = (math.pi / 2) * x
        pair = ops.stack([ops.cos(angle), ops.sin(angle)], axis=-1)
        return pair / ops.sum(pair, axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """`(batch, output_dim)`."""
        return (input_shape[0], self.output_dim)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Both contractions, both feature maps, and the output at an end."""
        unit = TensorSpec((4, 5), low=0.0, high=1.0)
        yield Example(cls, {"output_dim": 3, "bond_dim": 2}, unit)
        config = {"output_dim": 2, "bond_dim": 3, "feature_map": "trig", "contraction": "tree"}
        config |= {"init_std": 0.1, "use_bias": False, "output_position": 0}
        yield Example(cls, config, unit, name="trig_tree")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid sizes, words and positions."""
        plain = {"output_dim": 2, "bond_dim": 2}
        yield Rejection(cls, {**plain, "feature_map": "square"}, "feature_map")
        yield Rejection(cls, {**plain, "output_position": 6}, "output_position", build=(1, 5))
        yield Rejection(cls, plain, "input_shape", build=(1, 2, 3))
